//! What a tree looks like, told to the encoders of both generations.

use super::*;
use crate::wire::{Datagram, json_rpc, text};

/// A tree with values, attributes, kids of one name, of several, and of none.
fn sample() -> Snapshot {
    let mut copy = Snapshot::default();
    let one = copy.begin(b"one", Some(b"1"), false);
    copy.end(one);
    for id in [b"a", b"b"] {
        let item = copy.begin(b"item", Some(b"v"), false);
        copy.attribute(b"id", id);
        let inner = copy.begin(b"inner", None, false);
        for value in [b"x", b"y"] {
            let nameless = copy.begin(b"", Some(value), false);
            copy.end(nameless);
        }
        copy.end(inner);
        copy.end(item);
    }
    let list = copy.begin(b"list", None, true);
    let only = copy.begin(b"only", Some(b"2"), false);
    copy.end(only);
    copy.end(list);
    copy
}

fn told_as_text(copy: Snapshot) -> String {
    let mut output = Datagram::new();
    let mut encoder = text::TextEncoder::new(&mut output, b"\t");
    let mut writer = SnapshotWriter::new(copy);
    while writer.write_piece(&mut encoder) == Progress::More {}
    encoder.finish();
    String::from_utf8(output.bytes().unwrap().to_vec()).unwrap()
}

fn told_as_json(copy: Snapshot) -> serde_json::Value {
    let mut output = Datagram::new();
    let mut encoder = json_rpc::JsonRpcEncoder::new(&mut output, "1");
    let mut writer = SnapshotWriter::new(copy);
    while writer.write_piece(&mut encoder) == Progress::More {}
    encoder.finish();
    let reply: serde_json::Value = serde_json::from_slice(output.bytes().unwrap()).unwrap();
    reply["result"].clone()
}

#[test]
fn classic_callers_see_the_tree_as_it_is() {
    let item = |id: &str| format!("item:: v id={id}\n\tinner:: \n\t\tx\n\t\ty\n");
    let wanted = format!("200 OK\none:: 1\n{}{}list:: \n\tonly:: 2\n", item("a"), item("b"));
    assert_eq!(told_as_text(sample()), wanted);
}

#[test]
fn json_callers_see_objects_and_arrays() {
    let item = |id: &str| serde_json::json!({"value": "v", "id": id, "inner": ["x", "y"]});
    let wanted = serde_json::json!({"one": "1", "item": [item("a"), item("b")], "list": {"only": ["2"]}});
    assert_eq!(told_as_json(sample()), wanted);
}

#[test]
fn nodes_without_names_at_the_top_are_the_result() {
    let mut copy = Snapshot::default();
    for value in [b"x", b"y"] {
        let node = copy.begin(b"", Some(value), false);
        copy.end(node);
    }
    assert_eq!(told_as_json(copy), serde_json::json!(["x", "y"]));
    assert_eq!(told_as_json(Snapshot::default()), serde_json::json!("OK"));
}

#[test]
fn a_long_tree_comes_in_pieces() {
    let mut copy = Snapshot::default();
    for number in 0..1000 {
        let node = copy.begin(b"n", Some(number.to_string().as_bytes()), false);
        copy.end(node);
    }
    let mut output = Datagram::new();
    let mut encoder = json_rpc::JsonRpcEncoder::new(&mut output, "1");
    let mut writer = SnapshotWriter::new(copy);
    let mut pieces = 1;
    while writer.write_piece(&mut encoder) == Progress::More {
        pieces += 1;
    }
    encoder.finish();
    let reply: serde_json::Value = serde_json::from_slice(output.bytes().unwrap()).unwrap();
    assert!(pieces > 3, "{pieces} pieces");
    assert_eq!(reply["result"]["n"].as_array().map(Vec::len), Some(1000));
    assert_eq!(reply["result"]["n"][999], "999");
}

#[test]
fn kids_of_one_name_come_together_where_the_first_stands() {
    let mut copy = Snapshot::default();
    for (name, value) in ["z1", "a2", "m3", "z4", "a5", "b6"].map(|text| text.split_at(1)) {
        let node = copy.begin(name.as_bytes(), Some(value.as_bytes()), false);
        copy.end(node);
    }
    let mut output = Datagram::new();
    let mut encoder = json_rpc::JsonRpcEncoder::new(&mut output, "1");
    let mut writer = SnapshotWriter::new(copy);
    while writer.write_piece(&mut encoder) == Progress::More {}
    encoder.finish();
    let wanted = r#""result":{"z":["1","4"],"a":["2","5"],"m":"3","b":"6"},"#;
    let reply = String::from_utf8(output.bytes().unwrap().to_vec()).unwrap();
    assert!(reply.contains(wanted), "{reply}");
}
