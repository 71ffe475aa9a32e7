//! Skips routing blocks, TLS domains, and the rest of a statement with an error.
//!
//! A block ends at its closing brace; braces in strings, comments and script variables do not count. C
//! counterpart: `route_stm` and similar rules of cfg.y, which parse the actions.

use super::{ConfigProblem, KEYWORDS, Parsed, Parser, ROUTES, StatementAbandoned, TLS_DOMAINS, is_one_of};
use crate::config::globals;
use crate::config::lexer::{Token, TokenShape};

impl Parser<'_> {
    /// The rest of `route[name] { … }` after its first word.
    pub(super) fn block_statement(&mut self) -> Parsed<()> {
        const FORM: &str = "write route[name] { … }";
        if self.reader.peek(0).is(b'[') {
            self.reader.next();
            loop {
                let token = self.reader.peek(0).clone();
                match token.shape {
                    TokenShape::Mark(b']') => {
                        self.reader.next();
                        break;
                    }
                    TokenShape::Mark(b'{' | b'}' | b';' | b'=')
                    | TokenShape::End
                    | TokenShape::UnclosedText
                    | TokenShape::UnclosedComment
                    | TokenShape::UnclosedVariable => {
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
                self.reader.diagnostics.error(&open.position(), ConfigProblem::UnclosedBlock { before });
                return Err(StatementAbandoned);
            }
            let token = self.reader.next();
            match token.shape {
                TokenShape::Mark(b'{') => depth += 1,
                TokenShape::Mark(b'}') => depth -= 1,
                TokenShape::End => {
                    let before = token.shown();
                    self.reader.diagnostics.error(&open.position(), ConfigProblem::UnclosedBlock { before });
                    return Err(StatementAbandoned);
                }
                TokenShape::UnclosedText => self.resume_after_string(&token),
                TokenShape::Text if token.spans_lines() && self.word_touches(&token) => {
                    self.resume_after_string(&token)
                }
                TokenShape::UnclosedComment | TokenShape::UnclosedVariable => {
                    return self.unexpected(&token, "an action", "close it");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a word follows the string without a blank. Then an earlier quote is missing, and the quote
    /// that ends this string was meant to open another.
    fn word_touches(&mut self, text: &Token) -> bool {
        let next = self.reader.peek(0);
        text.touches(next)
            && matches!(next.shape, TokenShape::Word | TokenShape::Number | TokenShape::Variable)
            && !is_one_of(next, &["and", "or"])
    }

    /// Whether the next tokens open a statement that cannot stand in a block: `route[`, `modparam(`,
    /// `loadmodule "`.
    fn opens_statement_of_its_own(&mut self) -> bool {
        let word = self.reader.peek(0);
        if word.shape != TokenShape::Word || !word.first_on_line {
            return false;
        }
        let (route, modparam) = (is_one_of(word, ROUTES), word.is_word("modparam"));
        let load = word.is_word("loadmodule");
        if !(route || modparam || load) {
            return false;
        }
        match self.reader.peek(1).shape {
            TokenShape::Mark(b'{' | b'[') => route,
            TokenShape::Mark(b'(') => modparam,
            TokenShape::Text => load,
            _ => false,
        }
    }

    /// Skips to the probable start of the next statement.
    pub(super) fn recover(&mut self) {
        self.long_text = None;
        loop {
            let token = self.reader.peek(0).clone();
            let after = self.reader.peek(1).clone();
            let opens = match token.shape {
                TokenShape::Word if is_one_of(&token, ROUTES) || is_one_of(&token, TLS_DOMAINS) => {
                    after.is(b'[') || after.is(b'{')
                }
                TokenShape::Word => {
                    is_one_of(&token, KEYWORDS) || globals::find(token.raw()).is_some() || after.is(b'=')
                }
                _ => false,
            };
            match token.shape {
                TokenShape::End | TokenShape::UnclosedText | TokenShape::UnclosedComment => return,
                TokenShape::Word if token.first_on_line && opens => return,
                TokenShape::Mark(b'{') => {
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
