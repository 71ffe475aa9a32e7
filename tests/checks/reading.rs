//! Files of the repository, and what the lines of a manual page, a Markdown table or a script say.

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file below the top, as text.
#[track_caller]
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Shows every file under a folder.
pub(crate) fn walk(folder: &Path, seen: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, seen) } else { seen(&path) }
    }
}

/// A tagged paragraph of a manual page.
#[derive(Debug, PartialEq)]
pub(crate) struct Paragraph {
    /// The title of its section, and below it of its part.
    pub(crate) section: String,
    pub(crate) part: String,
    /// The tag without markup: `-f FILE`.
    pub(crate) tag: String,
    /// The text without markup.
    pub(crate) text: String,
}

/// The tagged paragraphs of a page.
pub(crate) fn paragraphs(page: &str) -> Vec<Paragraph> {
    let mut found: Vec<Paragraph> = Vec::new();
    let (mut section, mut part) = (String::new(), String::new());
    let (mut tag_next, mut open) = (false, false);
    for line in page.lines() {
        let (name, words) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            ".SH" => (section, part, open) = (plain(name, words), String::new(), false),
            ".SS" => (part, open) = (plain(name, words), false),
            ".TP" => tag_next = true,
            ".PP" | ".nf" => open = false,
            _ => {
                let text = if name.starts_with('.') { plain(name, words) } else { plain_line(line) };
                if std::mem::take(&mut tag_next) {
                    let (section, part) = (section.clone(), part.clone());
                    found.push(Paragraph { section, part, tag: text, text: String::new() });
                    open = true;
                } else if let Some(last) = found.last_mut().filter(|_| open) {
                    last.text += &format!("{text}\n");
                }
            }
        }
    }
    found
}

/// The words of a macro. One that alternates fonts joins them, with blanks only where quotes keep them.
fn plain(name: &str, words: &str) -> String {
    let alternates = matches!(name, ".BI" | ".BR" | ".IB" | ".IR" | ".RB" | ".RI");
    let mut text = String::new();
    let mut quoted = false;
    for character in words.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if alternates && !quoted => {}
            other => text.push(other),
        }
    }
    plain_line(&text)
}

fn plain_line(line: &str) -> String {
    let line = line.replace("\\fI", "").replace("\\fB", "").replace("\\fR", "");
    line.replace("\\-", "-").replace("\\e", "\\").replace("\\(aq", "'").replace("\\(dq", "\"")
}

/// The rows of the Markdown tables of a text: the cells, without the rule below the head.
pub(crate) fn table_rows(markdown: &str) -> Vec<Vec<String>> {
    markdown
        .lines()
        .filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'))
        .map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>())
        .filter(|cells| !cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':'))))
        .collect()
}

/// What stands between backticks.
pub(crate) fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The lines of a script with continued ones joined, without comments.
pub(crate) fn script_lines(script: &str) -> Vec<String> {
    let joined = script.replace("\\\n", " ");
    joined.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lose_their_markup() {
        let page = ".SH OPTIONS\n.SS \"Some more\"\n.TP\n.BI \\-f \" \\fIFILE\\fR\"\nThe\n.B file\\-name .\n.PP\nNot this.\n";
        let wanted = Paragraph {
            section: "OPTIONS".into(),
            part: "Some more".into(),
            tag: "-f FILE".into(),
            text: "The\nfile-name .\n".into(),
        };
        assert_eq!(paragraphs(page), [wanted]);
    }

    #[test]
    fn rows_are_cells_and_a_rule_is_none() {
        let text = "x\n| a | b |\n| --- | :-: |\n| `c` `d` | e |\n";
        assert_eq!(table_rows(text), [["a", "b"], ["`c` `d`", "e"]]);
        assert_eq!(code_spans("`c` and `d e`"), ["c", "d e"]);
    }

    #[test]
    fn continued_lines_are_one() {
        assert_eq!(script_lines("a \\\nb\n# c\nd"), ["a  b", "d"]);
    }
}
