//! A full shared memory: what one kind of state fills it with takes nothing of the shares of the others.

use crate::support::{Client, Server, Setup, assert_same};

/// Refusals in a row that show that each part of the memory is full.
const REFUSALS: usize = 300;

const OK: &[u8] = b"200 OK\n";

/// Stores values of some KB by `request`, each of another name, until there is no room. Gives how many were stored.
fn fill(client: &Client, request: impl Fn(usize) -> String) -> usize {
    let (mut stored, mut refused) = (0, 0);
    for number in 0.. {
        let reply = client.ask(request(number).as_bytes());
        if reply == OK {
            (stored, refused) = (stored + 1, 0);
        } else {
            assert!(reply.starts_with(b"500 "), "{}", reply.escape_ascii());
            refused += 1;
        }
        if refused == REFUSALS {
            break;
        }
    }
    stored
}

fn store(number: usize) -> String {
    format!(":cache_store:\nlocal\nkey{number}\n{}\n", "v".repeat(4000))
}

fn add(number: usize) -> String {
    let contact = "c".repeat(200);
    format!(":ul_add:\nlocation\nuser{number}\nsip:{contact}@192.0.2.1\n0\n1\n0\n0\n0\n0\n")
}

fn subscribe(server: &Server, event: &str, number: usize) -> Vec<u8> {
    let socket = format!("unix:{}/subscriber{number}", server.setup.folder.path().display());
    server.ask(format!(":event_subscribe:\n{event}\n{socket}\n600\n").as_bytes())
}

#[test]
fn a_full_cache_and_full_tables_leave_each_other_and_subscriptions_their_shares() {
    let setup = || Setup::unix().module("cachedb_local").module("usrloc").module("event_datagram");
    for cache_first in [true, false] {
        let server = setup().arg("-m").arg("8").start();
        let client = server.client();
        let (values, contacts) = if cache_first {
            let values = fill(&client, store);
            (values, fill(&client, add))
        } else {
            let contacts = fill(&client, add);
            (fill(&client, store), contacts)
        };
        // A quarter of 8 MB, but for what each of 64 parts may lack to a page and keeps free.
        assert!(values > 250 && contacts > 2000, "{values} values and {contacts} contacts");
        for event in ["E_UL_AOR_INSERT", "E_UL_AOR_DELETE", "E_CORE_THRESHOLD"] {
            for number in 0..50 {
                assert_same(&format!("{event} {number}"), OK, &subscribe(&server, event, number));
            }
        }
        // What is there is replaced as before.
        assert_same("cache_store", OK, &client.ask(store(0).as_bytes()));
        server.stop_clean(&[]);
    }
}
