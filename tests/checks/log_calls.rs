//! What calls of the log say.

use super::reading::{root, text, walk};

/// A line says its module already.
#[test]
fn no_line_of_a_module_begins_with_its_name() {
    let modules = root().join("src/modules");
    let mut wrong = Vec::new();
    let mut calls = 0;
    walk(&modules, &mut |path| {
        let below = path.strip_prefix(&modules).unwrap();
        let module = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        for call in text(path).split("log::").skip(1).filter(|call| call.contains("!(")) {
            let (_, format) = call.split_once('"').unwrap_or_default();
            calls += 1;
            if format.starts_with(&format!("{module}:")) {
                wrong.push(format!("{}: {}", below.display(), format.lines().next().unwrap()));
            }
        }
    });
    assert!(calls > 20, "only {calls} calls were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
