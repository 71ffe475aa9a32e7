//! What is not read: routing blocks, TLS domains, and what follows an error.
//!
//! Blocks are skipped by their braces, with strings, comments and script variables respected. C counterpart: the
//! rules `route_stm` and its like in cfg.y, which read the actions.

use super::{GivenUp, KEYWORDS, Parsed, Parser, Problem, ROUTES, TLS_DOMAINS, is_one_of};
use crate::config::globals;
use crate::config::lexer::{Shape, Token};

impl Parser<'_> {
    /// The rest of `route[name] { … }` after its first word.
    pub(super) fn block_statement(&mut self) -> Parsed<()> {
        const FORM: &str = "write route[name] { … }";
        if self.reader.peek(0).is(b'[') {
            self.reader.next();
            loop {
                let token = self.reader.peek(0).clone();
                match token.shape {
                    Shape::Mark(b']') => {
                        self.reader.next();
                        break;
                    }
                    Shape::Mark(b'{' | b'}' | b';' | b'=')
                    | Shape::End
                    | Shape::UnclosedText
                    | Shape::UnclosedComment
                    | Shape::UnclosedVariable => {
                        self.reader.next();
                        return self.unexpected(&token, "`]`", FORM);
                    }
                    _ => self.reader.next(),
                };
            }
        }
        let open = self.reader.next();
        if !open.is(b'{') {
            return self.unexpected(&open, "`{`", FORM);
        }
        self.block(&open)
    }

    /// The rest of a block after its opening brace.
    pub(super) fn block(&mut self, open: &Token) -> Parsed<()> {
        let mut depth = 1_usize;
        while depth > 0 {
            if self.opens_statement_of_its_own() {
                let before = self.reader.peek(0).shown();
                self.reader.diagnostics.error(&open.position(), Problem::UnclosedBlock { before });
                return Err(GivenUp);
            }
            let token = self.reader.next();
            match token.shape {
                Shape::Mark(b'{') => depth += 1,
                Shape::Mark(b'}') => depth -= 1,
                Shape::End => {
                    let before = token.shown();
                    self.reader.diagnostics.error(&open.position(), Problem::UnclosedBlock { before });
                    return Err(GivenUp);
                }
                Shape::UnclosedText => self.resume_after_string(&token),
                Shape::Text if token.spans_lines() && self.word_touches(&token) => {
                    self.resume_after_string(&token)
                }
                Shape::UnclosedComment | Shape::UnclosedVariable => {
                    return self.unexpected(&token, "an action", "close it");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a word follows the string at once: then the quote that ends it was meant to open the next one.
    fn word_touches(&mut self, text: &Token) -> bool {
        let next = self.reader.peek(0);
        text.touches(next)
            && matches!(next.shape, Shape::Word | Shape::Number | Shape::Variable)
            && !is_one_of(next, &["and", "or"])
    }

    /// Whether what comes next cannot stand in a block: `route[`, `modparam(`, `loadmodule "`.
    fn opens_statement_of_its_own(&mut self) -> bool {
        let word = self.reader.peek(0);
        if word.shape != Shape::Word || !word.first_on_line {
            return false;
        }
        let (route, modparam) = (is_one_of(word, ROUTES), word.is_word("modparam"));
        let load = word.is_word("loadmodule");
        if !(route || modparam || load) {
            return false;
        }
        match self.reader.peek(1).shape {
            Shape::Mark(b'{' | b'[') => route,
            Shape::Mark(b'(') => modparam,
            Shape::Text => load,
            _ => false,
        }
    }

    /// Skips to what looks like the start of the next statement.
    pub(super) fn recover(&mut self) {
        self.long_text = None;
        loop {
            let token = self.reader.peek(0).clone();
            let after = self.reader.peek(1).clone();
            let opens = match token.shape {
                Shape::Word if is_one_of(&token, ROUTES) || is_one_of(&token, TLS_DOMAINS) => {
                    after.is(b'[') || after.is(b'{')
                }
                Shape::Word => {
                    is_one_of(&token, KEYWORDS) || globals::find(token.raw()).is_some() || after.is(b'=')
                }
                _ => false,
            };
            match token.shape {
                Shape::End | Shape::UnclosedText | Shape::UnclosedComment => return,
                Shape::Word if token.first_on_line && opens => return,
                Shape::Mark(b'{') => {
                    self.reader.next();
                    if self.block(&token).is_err() {
                        return;
                    }
                }
                _ => {
                    self.reader.next();
                }
            }
        }
    }
}
