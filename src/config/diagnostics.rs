//! Collects the errors, warnings and notices about a configuration, and formats them.
//!
//! Prints, logs and ends nothing. C has no counterpart: `yyerror` in cfg.y logs each error at once, without
//! the source line.

use std::fmt;

use super::position::{Position, without_password};
use super::problem::ConfigProblem;

/// The most messages of each severity that are kept. Further ones are only counted: a file of another
/// language has thousands.
const MAX_KEPT: usize = 200;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The server does not start.
    Error,
    /// The server starts, but may do something else than the writer of the file meant.
    Warning,
    /// The server starts; a line of the file has no effect.
    Notice,
}

/// One message with its place.
#[derive(Debug)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// The place in a file. `None` when there is none, as for a file that cannot be read.
    pub position: Option<Position>,
    /// The message.
    pub problem: ConfigProblem,
}

/// Prints `path:line:column: message`, then the source line, then a caret under the column; a notice is one
/// line. Warnings and notices say so before the message. The password of a URL is shown nowhere.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        f.write_str(match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
            Severity::Notice => "notice: ",
        })?;
        f.write_str(&without_password(self.problem.to_string()))?;
        let excerpt = self.position.as_ref().and_then(Position::excerpt);
        match excerpt.filter(|_| self.severity != Severity::Notice) {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

/// All messages of one run, in the order in which they were found.
#[derive(Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    dropped: usize,
    closing: Option<String>,
}

impl Diagnostics {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn add(&mut self, severity: Severity, position: Option<Position>, problem: ConfigProblem) {
        if severity == Severity::Error {
            self.errors += 1;
        }
        if self.of(severity).count() < MAX_KEPT {
            self.kept.push(Diagnostic { severity, position, problem });
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn error(&mut self, position: &Position, problem: ConfigProblem) {
        self.add(Severity::Error, Some(position.clone()), problem);
    }

    pub(super) fn warning(&mut self, position: &Position, problem: ConfigProblem) {
        self.add(Severity::Warning, Some(position.clone()), problem);
    }

    pub(super) fn notice(&mut self, position: &Position, problem: ConfigProblem) {
        self.add(Severity::Notice, Some(position.clone()), problem);
    }

    /// Adds an error of the attendant, such as a user who does not exist.
    pub fn error_at(&mut self, position: &Position, message: impl fmt::Display) {
        self.error(position, ConfigProblem::Other(message.to_string()));
    }

    /// Adds an error that has no place in a file, as one of the command line.
    pub fn error_without_position(&mut self, message: impl fmt::Display) {
        self.add(Severity::Error, None, ConfigProblem::Other(message.to_string()));
    }

    /// Adds a warning of the attendant.
    pub fn warning_at(&mut self, position: &Position, message: impl fmt::Display) {
        self.warning(position, ConfigProblem::Other(message.to_string()));
    }

    /// Adds a warning that has no place in a file.
    pub fn warning_without_position(&mut self, message: impl fmt::Display) {
        self.add(Severity::Warning, None, ConfigProblem::Other(message.to_string()));
    }

    /// The errors, in order.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Error)
    }

    /// The warnings, in order.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Warning)
    }

    /// All messages, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// All messages in the order in which they are printed: those without a place first, then file by file in
    /// the order of the places.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.kept.iter().collect();
        sorted.sort_by_key(|diagnostic| {
            diagnostic
                .position
                .as_ref()
                .map(|position| (position.file().path().to_owned(), position.offset()))
        });
        sorted
    }

    /// The lines below all messages: the number of messages that were not kept, and, when there are errors,
    /// the product or release that the file seems to be of.
    pub fn closing_lines(&self) -> impl Iterator<Item = String> {
        let not_shown = (self.dropped > 0).then(|| format!("not shown: {} more", self.dropped));
        not_shown.into_iter().chain(self.closing.clone().filter(|_| self.has_errors()))
    }

    /// Sets the closing line about the product or release that the file seems to be of.
    pub(super) fn set_closing_line(&mut self, line: Option<String>) {
        self.closing = line;
    }

    /// Whether the server must not start.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter().filter(move |diagnostic| diagnostic.severity == severity)
    }
}

/// All messages, sorted, each ended by a newline.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.sorted() {
            writeln!(f, "{diagnostic}")?;
        }
        self.closing_lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::position::SourceFile;
    use super::*;

    #[test]
    fn a_message_shows_its_place_the_line_and_a_caret() {
        let file = SourceFile::new(PathBuf::from("/etc/x.cfg"), b"fork=yes\nuser=nobody2\n".to_vec());
        let mut all = Diagnostics::new();
        all.error_at(&Position::new(&file, 14), "unknown user \"nobody2\"; create it");
        all.warning_at(&Position::new(&file, 0), "odd");
        assert!(all.has_errors());
        assert_eq!(
            all.to_string(),
            "/etc/x.cfg:1:1: warning: odd\nfork=yes\n^\n\
             /etc/x.cfg:2:6: unknown user \"nobody2\"; create it\nuser=nobody2\n     ^\n"
        );
    }

    #[test]
    fn messages_over_the_limit_are_counted_and_not_kept() {
        let file = SourceFile::new(PathBuf::from("x"), b"x".to_vec());
        let place = Position::new(&file, 0);
        let mut all = Diagnostics::new();
        for _ in 0..=MAX_KEPT {
            all.warning_at(&place, "w");
        }
        assert!(!all.has_errors());
        all.error_at(&place, "e");
        assert!(all.has_errors());
        assert_eq!((all.warnings().count(), all.errors().count()), (MAX_KEPT, 1));
        assert!(all.to_string().ends_with("not shown: 1 more\n"));
    }
}
