//! Tokens to statements: globals, `loadmodule`, `modparam`; routing blocks are skipped.
//!
//! Owns the grammar of statements and the recovery after an error, so that one run tells all of them. It does not
//! know modules or parameters. C counterpart: the rules `statement`, `assign_stm` and `module_stm` of cfg.y.

use super::diagnostics::Diagnostics;
use super::document::{Assignment, Document, LoadModule, ModParam, Statement, Value};
use super::globals::{self, Scope};
use super::lexer::{Shape, Token};
use super::nearest::nearest;
use super::origin;
use super::position::{Position, readable};
use super::problem::Problem;
use super::reader::Reader;

mod skip;
mod value;

pub(super) use value::number;

/// Words that open a routing block.
const ROUTES: &[&str] = &[
    "route",
    "onreply_route",
    "failure_route",
    "branch_route",
    "error_route",
    "local_route",
    "startup_route",
    "timer_route",
    "event_route",
];

/// Words that open a TLS domain of 1.x.
const TLS_DOMAINS: &[&str] = &["tls_server_domain", "tls_client_domain"];

/// The words that open a statement, but for the globals.
const KEYWORDS: &[&str] = &[
    "loadmodule",
    "modparam",
    "include_file",
    "import_file",
    "route",
    "onreply_route",
    "failure_route",
    "branch_route",
    "error_route",
    "local_route",
    "startup_route",
    "timer_route",
    "event_route",
    "tls_server_domain",
    "tls_client_domain",
];

/// A statement was given up; the error is recorded.
struct GivenUp;

/// Result of a part of a statement.
type Parsed<T> = Result<T, GivenUp>;

/// Reads all statements.
pub(super) fn parse(reader: Reader<'_>) -> (Document, Diagnostics) {
    let mut parser = Parser { reader, document: Document::default(), long_text: None, head: None };
    parser.statements();
    (parser.document, parser.reader.diagnostics)
}

struct Parser<'a> {
    reader: Reader<'a>,
    document: Document,
    /// The last string of this statement or the one before that goes over the end of a line: when something does
    /// not fit soon after, its closing quote was forgotten.
    long_text: Option<Token>,
    /// Where this statement starts.
    head: Option<Position>,
}

impl Parser<'_> {
    fn statements(&mut self) {
        loop {
            let token = self.reader.next();
            if token.shape == Shape::End {
                return;
            }
            if token.first_on_line {
                self.long_text = None;
            }
            self.head = Some(token.position());
            if self.statement(&token).is_err() {
                self.recover();
            }
        }
    }

    fn statement(&mut self, token: &Token) -> Parsed<()> {
        if token.is(b'}') {
            return self.give_up(token, Problem::UnmatchedBrace);
        }
        if token.is(b';') {
            return self.unexpected(
                token,
                "a statement",
                "remove it, statements outside of blocks have no end mark",
            );
        }
        if token.is(b'{') {
            let found = token.shown();
            let (wanted, remedy) = ("a statement", "write the word that opens the block, as route");
            self.reader.diagnostics.error(&token.position(), Problem::Unexpected { found, wanted, remedy });
            return self.block(token);
        }
        if token.shape != Shape::Word {
            return self.unexpected(
                token,
                "a global, loadmodule, modparam or a routing block",
                "remove it, or look for an error in the line before",
            );
        }
        if self.long_text.is_some() {
            return self
                .give_up(token, Problem::UnknownStatement { name: readable(token.raw()), nearest: None });
        }
        if is_one_of(token, ROUTES) || is_one_of(token, TLS_DOMAINS) {
            return self.block_statement();
        }
        if token.is_word("loadmodule") {
            return self.load_module();
        }
        if token.is_word("modparam") {
            return self.mod_param();
        }
        self.global(token)
    }

    fn load_module(&mut self) -> Parsed<()> {
        let (token, file) = self.line_text("a file name as \"mi_datagram.so\"", "put it in quotes")?;
        if file.is_empty() {
            return self.unexpected(
                &token,
                "a file name as \"mi_datagram.so\"",
                "write one, or remove the line",
            );
        }
        self.document.statements.push(Statement::Load(LoadModule { file, position: token.position() }));
        Ok(())
    }

    fn mod_param(&mut self) -> Parsed<()> {
        const FORM: &str = "write modparam(\"module\", \"parameter\", value)";
        self.mark(b'(', "`(`", FORM)?;
        let (module_token, module) = self.line_text("a module in quotes", FORM)?;
        self.mark(b',', "`,`", FORM)?;
        let (name_token, name) = self.line_text("a parameter in quotes", FORM)?;
        self.mark(b',', "`,`", FORM)?;
        let first = self.reader.peek(0).clone();
        let (value, written) = match first.shape {
            Shape::Text | Shape::UnclosedText => {
                let (token, text) = self.text("a value", FORM)?;
                (Value::Text(text), token.shown())
            }
            _ => {
                let (number, written) =
                    self.integer("a number or a string in quotes", "put text in quotes")?;
                (Value::Integer(number), written)
            }
        };
        self.mark(b')', "`)`", FORM)?;
        self.document.statements.push(Statement::Parameter(ModParam {
            module,
            name,
            value,
            written,
            module_position: module_token.position(),
            name_position: name_token.position(),
            value_position: first.position(),
        }));
        Ok(())
    }

    fn global(&mut self, token: &Token) -> Parsed<()> {
        let name = self.global_name(token);
        let Some(row) = globals::find(&name) else {
            let name = readable(&name);
            let nearest = suggest(&name);
            let problem = if self.reader.peek(0).is(b'=') {
                Problem::UnknownGlobal { name, nearest }
            } else {
                Problem::UnknownStatement { name, nearest }
            };
            return self.give_up(token, problem);
        };
        self.mark(b'=', "`=`", "write name=value")?;
        let value_position = self.reader.peek(0).position();
        let value = self.value(row)?;
        let value = if row.scope == Scope::Used { value } else { Value::Checked };
        let assignment = Assignment { row, value, position: token.position(), value_position };
        self.document.statements.push(Statement::Global(assignment));
        Ok(())
    }

    /// The name of a global, whose words may be joined by dashes, as in `mem-group`.
    fn global_name(&mut self, token: &Token) -> Vec<u8> {
        let mut name = token.raw().to_vec();
        let mut last = token.clone();
        loop {
            let (dash, word) = (self.reader.peek(0).clone(), self.reader.peek(1).clone());
            if !(dash.is(b'-') && word.shape == Shape::Word && last.touches(&dash) && dash.touches(&word)) {
                return name;
            }
            name.push(b'-');
            name.extend(word.raw());
            self.reader.next();
            last = self.reader.next();
        }
    }

    /// Takes the next token when it is `mark`.
    fn mark(&mut self, mark: u8, wanted: &'static str, remedy: &'static str) -> Parsed<()> {
        let token = self.reader.next();
        if token.is(mark) { Ok(()) } else { self.unexpected(&token, wanted, remedy) }
    }

    /// Takes the next token, a string.
    fn text(&mut self, wanted: &'static str, remedy: &'static str) -> Parsed<(Token, Vec<u8>)> {
        let token = self.reader.next();
        if token.shape != Shape::Text {
            return self.unexpected(&token, wanted, remedy);
        }
        if token.spans_lines() {
            self.long_text = Some(token.clone());
        }
        let text = token.text();
        if text.contains(&0) {
            return self.give_up(&token, Problem::NulByte { text: token.shown() });
        }
        Ok((token, text))
    }

    /// Takes the next token, a string that ends on its line: names and files do.
    fn line_text(&mut self, wanted: &'static str, remedy: &'static str) -> Parsed<(Token, Vec<u8>)> {
        let (token, text) = self.text(wanted, remedy)?;
        if token.spans_lines() && text.contains(&b'\n') {
            return self.unexpected(&token, wanted, remedy);
        }
        Ok((token, text))
    }

    fn unexpected<T>(&mut self, token: &Token, wanted: &'static str, remedy: &'static str) -> Parsed<T> {
        self.give_up(token, Problem::Unexpected { found: token.shown(), wanted, remedy })
    }

    /// Records why the statement ends here. What was not closed earlier is the better explanation.
    fn give_up<T>(&mut self, token: &Token, problem: Problem) -> Parsed<T> {
        let opened =
            self.long_text.take().or_else(|| (token.shape == Shape::UnclosedText).then(|| token.clone()));
        if let Some(opened) = opened {
            self.resume_after_string(&opened);
            return Err(GivenUp);
        }
        let problem = match token.shape {
            Shape::UnclosedComment => Problem::UnclosedComment,
            Shape::UnclosedVariable => Problem::UnclosedVariable { text: token.shown() },
            _ => problem,
        };
        self.reader.diagnostics.error(&token.position(), problem);
        let head = self.head.as_ref() == Some(&token.position());
        if !head && (token.first_on_line || token.is(b'{')) {
            self.reader.unread(token.clone());
        }
        Err(GivenUp)
    }

    /// Tells of a string without closing quote, and reads on in the line after the one it starts in.
    fn resume_after_string(&mut self, opened: &Token) {
        self.reader.diagnostics.error(&opened.position(), Problem::UnclosedString { text: opened.shown() });
        self.reader.resume_after_line_of(opened);
    }
}

fn is_one_of(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(word))
}

/// The global or statement that was meant by a name nobody knows.
fn suggest(name: &str) -> Option<String> {
    let names = || globals::rows().iter().flat_map(|row| row.names).chain(KEYWORDS).copied();
    // The name of another product or release is no slip of the finger.
    origin::renamed(name).unwrap_or_else(|| nearest(name, names())).map(str::to_owned)
}
