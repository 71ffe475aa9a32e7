//! Reads the tokens of the configuration across its files: follows `include_file` and `import_file` wherever
//! they stand, also inside a routing block.
//!
//! Owns the stack of open files and its limits. Knows no statements; the caller's [`FileReader`] reads the
//! files. C counterpart: `oss_push_yy_state` and `oss_pop_yy_state` in cfg.lex. Differs: a file that includes
//! itself is an error at once, the name may hold spaces, and a comment may follow it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::FileReader;
use super::diagnostics::Diagnostics;
use super::lexer::{Lexer, Token, TokenShape};
use super::position::SourceFile;
use super::problem::ConfigProblem;

/// Files inside files, not counting the main one. C: `MAX_INCLUDE_DEPTH`.
const MAX_DEPTH: usize = 10;

/// The most files that are read in all. Files that include each other many times end with an error.
const MAX_FILES: usize = 1_000;

/// Bytes read in all.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Reads tokens, one after the other, and looks ahead.
pub(super) struct TokenReader<'a> {
    source: &'a mut dyn FileReader,
    /// The open files, the one being read last.
    open: Vec<Lexer>,
    ahead: VecDeque<Token>,
    files: usize,
    bytes: usize,
    pub(super) diagnostics: Diagnostics,
}

impl<'a> TokenReader<'a> {
    /// Opens the main file.
    ///
    /// # Errors
    /// What the source says about it.
    pub(super) fn open(path: &Path, source: &'a mut dyn FileReader) -> io::Result<Self> {
        let bytes = source.read(path)?;
        let read = bytes.len();
        let main = Lexer::new(SourceFile::new(path.to_owned(), bytes));
        Ok(Self {
            source,
            open: vec![main],
            ahead: VecDeque::new(),
            files: 1,
            bytes: read,
            diagnostics: Diagnostics::new(),
        })
    }

    /// The next token; after the last one of the main file always [`TokenShape::End`].
    pub(super) fn next(&mut self) -> Token {
        match self.ahead.pop_front() {
            Some(token) => token,
            None => self.fetch(),
        }
    }

    /// Puts a token back, to be the next one.
    pub(super) fn unread(&mut self, token: Token) {
        self.ahead.push_front(token);
    }

    /// The token after `ahead` others, without taking any.
    pub(super) fn peek(&mut self, ahead: usize) -> &Token {
        while self.ahead.len() <= ahead {
            let token = self.fetch();
            self.ahead.push_back(token);
        }
        &self.ahead[ahead]
    }

    /// Reads again from the line after the one that `token` starts in. Says whether that file is still being
    /// read.
    pub(super) fn resume_after_line_of(&mut self, token: &Token) -> bool {
        let resumed = self.open.last_mut().is_some_and(|lexer| lexer.resume_after_line_of(token));
        if resumed {
            self.ahead.clear();
        }
        resumed
    }

    fn fetch(&mut self) -> Token {
        loop {
            let inside = self.open.len() > 1;
            let Some(lexer) = self.open.last_mut() else {
                unreachable!("the main file stays open");
            };
            let token = lexer.next();
            if token.shape == TokenShape::End && inside {
                self.open.pop();
            } else if token.is_word("include_file") || token.is_word("import_file") {
                let name = lexer.next();
                self.include(&token, &name);
            } else {
                return token;
            }
        }
    }

    fn include(&mut self, keyword: &Token, name: &Token) {
        if name.shape != TokenShape::Text || name.spans_lines() || !name.raw().starts_with(b"\"") {
            self.diagnostics.error(
                &name.position(),
                ConfigProblem::Unexpected {
                    found: name.shown(),
                    wanted: "the name of a file in double quotes",
                    remedy: "write include_file \"/etc/opensips/more.cfg\"",
                },
            );
            if let Some(lexer) = self.open.last_mut() {
                lexer.resume_after_line_of(keyword);
            }
            return;
        }
        if let Err(problem) = self.push(keyword, name) {
            self.diagnostics.error(&name.position(), problem);
        }
    }

    fn push(&mut self, keyword: &Token, name: &Token) -> Result<(), ConfigProblem> {
        if self.open.len() > MAX_DEPTH {
            return Err(ConfigProblem::IncludeLimit { limit: MAX_DEPTH, what: "files inside one another" });
        }
        if self.files >= MAX_FILES {
            return Err(ConfigProblem::IncludeLimit { limit: MAX_FILES, what: "files" });
        }
        let paths = self.candidates(&unescape(name.raw()));
        let mut failure = None;
        for path in &paths {
            match self.source.read(path) {
                Ok(bytes) => return self.push_file(path.clone(), bytes),
                Err(error) => failure = Some(error),
            }
        }
        let Some(error) = failure else {
            return Err(ConfigProblem::Unexpected {
                found: name.shown(),
                wanted: "the name of a file",
                remedy: "write one, or remove the line",
            });
        };
        if keyword.is_word("include_file") {
            return Err(ConfigProblem::Include { paths, error });
        }
        if error.kind() != io::ErrorKind::NotFound {
            self.diagnostics.warning(&name.position(), ConfigProblem::Include { paths, error });
        }
        Ok(())
    }

    fn push_file(&mut self, path: PathBuf, bytes: Vec<u8>) -> Result<(), ConfigProblem> {
        if self.open.iter().any(|lexer| lexer.file().path() == path) {
            return Err(ConfigProblem::IncludeCycle { path });
        }
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > MAX_BYTES {
            return Err(ConfigProblem::IncludeLimit { limit: MAX_BYTES, what: "bytes" });
        }
        self.open.push(Lexer::new(SourceFile::new(path, bytes)));
        Ok(())
    }

    /// The name as it is, that is from the working directory; then from the folder of the file it stands in.
    fn candidates(&self, name: &[u8]) -> Vec<PathBuf> {
        if name.is_empty() {
            return Vec::new();
        }
        let path = PathBuf::from(OsStr::from_bytes(name));
        let folder = self.open.last().and_then(|lexer| lexer.file().path().parent());
        let beside = folder.filter(|folder| !folder.as_os_str().is_empty()).map(|folder| folder.join(&path));
        let mut paths = vec![path.clone()];
        paths.extend(beside.filter(|beside| *beside != path));
        paths
    }
}

/// The escapes of a file name, which are not those of strings: after a backslash every byte but `t`, `n` and
/// `r` stands for itself.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(raw.len());
    let mut body = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default().iter();
    while let Some(&byte) = body.next() {
        name.push(match (byte, byte == b'\\') {
            (_, true) => match body.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(&other) => other,
                None => b'\\',
            },
            (byte, false) => byte,
        });
    }
    name
}
