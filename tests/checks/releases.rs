//! What files of OpenSIPS 1.4 to 2.4 may set and load is accepted: the rows of releases.tsv, which were read from the
//! tables and grammars of all those releases.

use std::path::Path;

use opensips_mi::config::{self, ModuleSupport};
use opensips_mi::modules;

use super::reading::text;

const ROWS: &str = "tests/checks/releases.tsv";

/// What is wrong with a file, as the server says it; notices left out.
fn wrong(file: &str) -> String {
    let (document, mut diagnostics) =
        config::parse(Path::new("cfg"), &mut |_: &Path| Ok(file.as_bytes().to_vec()));
    let known = |name: &str, _: &Path| modules::look_up(name);
    let configuration = config::resolve(document, &known, &mut diagnostics);
    let unknown =
        configuration.modules.iter().filter(|module| matches!(module.support, ModuleSupport::Unknown));
    let unknown: String = unknown.map(|module| format!("unknown module {}\n", module.name)).collect();
    let errors = diagnostics.errors().map(|error| format!("{error}\n"));
    errors.chain([unknown]).collect()
}

#[test]
fn what_a_release_accepts_is_accepted() {
    let rows = text(ROWS);
    let mut seen = 0;
    let mut refused = Vec::new();
    for row in rows.lines().filter(|row| !row.starts_with('#')) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [kind, name, value, releases] = columns[..] else { panic!("four columns: {row}") };
        let file = match (kind, name.split_once(' ')) {
            ("global", None) => format!("{name}={value}\n"),
            ("module", None) => format!("loadmodule \"{name}.so\"\n"),
            ("parameter", Some((module, parameter))) => {
                if cfg!(not(feature = "redis")) && module == "cachedb_redis" {
                    continue;
                }
                format!("loadmodule \"{module}.so\"\nmodparam(\"{module}\", \"{parameter}\", {value})\n")
            }
            _ => panic!("{row}"),
        };
        seen += 1;
        let errors = wrong(&file);
        if !errors.is_empty() {
            refused.push(format!("{releases}: {errors}"));
        }
    }
    assert!(seen > 350, "only {seen} rows");
    assert!(refused.is_empty(), "{}", refused.concat());
}
