//! The golden rows `arg-*` at the parser: what `cache_store` is given must decode to what `cache_fetch` shows.
//!
//! As long as there is no cache, the rows cannot be played against the server; here they are read two by two.

use std::collections::BTreeMap;

use opensips_mi::mi::Params;
use opensips_mi::wire::text::{decode_params, split_command};
use serde_json::Value;

/// The golden files hold one byte in each character.
fn bytes(row: &Value, field: &str) -> Vec<u8> {
    row[field].as_str().unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// The values of a request's parameters, or `None` when they do not follow the grammar.
fn values(request: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (_, text) = split_command(request).unwrap();
    let mut params = Params::new();
    decode_params(text, &mut params).ok()?;
    Some(params.iter().map(|(_, value)| value.to_vec()).collect())
}

#[test]
fn arguments_of_recorded_requests_decode_to_what_the_replies_show() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/1.11-datagram.jsonl");
    let file = std::fs::read_to_string(path).unwrap();
    let mut cases: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in file.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let case = row["case"].as_str().unwrap().to_owned();
        if case.starts_with("arg-") {
            cases.entry(case).or_default().push(row);
        }
    }
    let mut shown = 0;
    for (case, rows) in &cases {
        let stored = values(&bytes(&rows[0], "request"));
        match bytes(&rows[0], "reply").as_slice() {
            b"400 parse error in command\n" => assert_eq!(stored, None, "{case}"),
            b"404 Empty value argument\n" => assert_eq!(stored.unwrap()[2], b"", "{case}"),
            b"200 OK\n" => {
                let stored = stored.unwrap();
                for fetch in &rows[1..] {
                    let key = values(&bytes(fetch, "request")).unwrap().swap_remove(1);
                    assert_eq!(key, stored[1], "{case}");
                    let wanted = [&b"200 OK\n"[..], &key, b" = [", &stored[2], b"]\n"].concat();
                    assert_eq!(
                        bytes(fetch, "reply").escape_ascii().to_string(),
                        wanted.escape_ascii().to_string(),
                        "{case}"
                    );
                    shown += 1;
                }
            }
            // Refused for what it asks, not for how it is written: values before names.
            b"500 Cache store command failed\n" => assert_eq!(stored.unwrap()[0], b"v", "{case}"),
            other => panic!("{case}: no rule for {}", other.escape_ascii()),
        }
    }
    assert!(
        cases.len() >= 50 && shown >= 35,
        "{} cases, {shown} values: the recording has shrunk",
        cases.len()
    );
}
