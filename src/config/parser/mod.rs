//! Parses tokens into statements: globals, `loadmodule` and `modparam`; routing blocks are skipped.
//!
//! Recovers after an error, so that one run reports all errors. Knows no modules and no parameters. C
//! counterpart: the rules `statement`, `assign_stm` and `module_stm` of cfg.y.

use super::diagnostics::Diagnostics;
use super::document::{ConfigDocument, ConfigValue, GlobalAssignment, LoadModule, ModParam, Statement};
use super::globals::{self, GlobalScope};
use super::lexer::{Token, TokenShape};
use super::nearest::nearest;
use super::origin;
use super::position::{Position, readable};
use super::problem::ConfigProblem;
use super::reader::TokenReader;

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

/// The parser has reported an error and abandons the statement.
struct StatementAbandoned;

/// Result of a part of a statement.
type Parsed<T> = Result<T, StatementAbandoned>;

/// Reads all statements.
pub(super) fn parse(reader: TokenReader<'_>) -> (ConfigDocument, Diagnostics) {
    let mut parser = Parser { reader, document: ConfigDocument::default(), long_text: None, head: None };
    parser.statements();
    (parser.document, parser.reader.diagnostics)
}

struct Parser<'a> {
    reader: TokenReader<'a>,
    document: ConfigDocument,
    /// The last string that spans several lines, of this statement or the one before. When a token after it
    /// does not fit, the closing quote of this string is missing, and the error is reported there.
    long_text: Option<Token>,
    /// Where this statement starts.
    head: Option<Position>,
}

impl Parser<'_> {
    fn statements(&mut self) {
        loop {
            let token = self.reader.next();
            if token.shape == TokenShape::End {
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
            return self.give_up(token, ConfigProblem::UnmatchedBrace);
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
            self.reader
                .diagnostics
                .error(&token.position(), ConfigProblem::Unexpected { found, wanted, remedy });
            return self.block(token);
        }
        if token.shape != TokenShape::Word {
            return self.unexpected(
                token,
                "a global, loadmodule, modparam or a routing block",
                "remove it, or look for an error in the line before",
            );
        }
        if self.long_text.is_some() {
            return self.give_up(
                token,
                ConfigProblem::UnknownStatement { name: readable(token.raw()), nearest: None },
            );
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
            TokenShape::Text | TokenShape::UnclosedText => {
                let (token, text) = self.text("a value", FORM)?;
                (ConfigValue::Text(text), token.shown())
            }
            _ => {
                let (number, written) =
                    self.integer("a number or a string in quotes", "put text in quotes")?;
                (ConfigValue::Integer(number), written)
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
                ConfigProblem::UnknownGlobal { name, nearest }
            } else {
                ConfigProblem::UnknownStatement { name, nearest }
            };
            return self.give_up(token, problem);
        };
        self.mark(b'=', "`=`", "write name=value")?;
        let value_position = self.reader.peek(0).position();
        let value = self.value(row)?;
        let value = if row.scope == GlobalScope::Used { value } else { ConfigValue::Checked };
        let assignment = GlobalAssignment { row, value, position: token.position(), value_position };
        self.document.statements.push(Statement::Global(assignment));
        Ok(())
    }

    /// The name of a global, whose words may be joined by dashes, as in `mem-group`.
    fn global_name(&mut self, token: &Token) -> Vec<u8> {
        let mut name = token.raw().to_vec();
        let mut last = token.clone();
        loop {
            let (dash, word) = (self.reader.peek(0).clone(), self.reader.peek(1).clone());
            if !(dash.is(b'-')
                && word.shape == TokenShape::Word
                && last.touches(&dash)
                && dash.touches(&word))
            {
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
        if token.shape != TokenShape::Text {
            return self.unexpected(&token, wanted, remedy);
        }
        if token.spans_lines() {
            self.long_text = Some(token.clone());
        }
        let text = token.text();
        if text.contains(&0) {
            return self.give_up(&token, ConfigProblem::NulByte { text: token.shown() });
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
        self.give_up(token, ConfigProblem::Unexpected { found: token.shown(), wanted, remedy })
    }

    /// Reports why the parser abandons the statement: a string or comment that was not closed before, or else
    /// `problem`.
    fn give_up<T>(&mut self, token: &Token, problem: ConfigProblem) -> Parsed<T> {
        let opened = self
            .long_text
            .take()
            .or_else(|| (token.shape == TokenShape::UnclosedText).then(|| token.clone()));
        if let Some(opened) = opened {
            self.resume_after_string(&opened);
            return Err(StatementAbandoned);
        }
        let problem = match token.shape {
            TokenShape::UnclosedComment => ConfigProblem::UnclosedComment,
            TokenShape::UnclosedVariable => ConfigProblem::UnclosedVariable { text: token.shown() },
            _ => problem,
        };
        self.reader.diagnostics.error(&token.position(), problem);
        let head = self.head.as_ref() == Some(&token.position());
        if !head && (token.first_on_line || token.is(b'{')) {
            self.reader.unread(token.clone());
        }
        Err(StatementAbandoned)
    }

    /// Reports a string without its closing quote, and reads on in the line after the one that the string
    /// starts in.
    fn resume_after_string(&mut self, opened: &Token) {
        self.reader
            .diagnostics
            .error(&opened.position(), ConfigProblem::UnclosedString { text: opened.shown() });
        self.reader.resume_after_line_of(opened);
    }
}

fn is_one_of(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(word))
}

/// The global or statement that an unknown name probably means.
fn suggest(name: &str) -> Option<String> {
    let names = || globals::rows().iter().flat_map(|row| row.names).chain(KEYWORDS).copied();
    // A name of another product or release is no typing error; the table of those names says what to write.
    origin::renamed(name).unwrap_or_else(|| nearest(name, names())).map(str::to_owned)
}
