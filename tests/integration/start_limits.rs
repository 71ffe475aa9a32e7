//! What the system gives a server: a limit of open files that is too low, and memory that is not there.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::scripted::exists;
use crate::support::{HELP, HELP_REPLY, Http, Setup, assert_same, free_tcp_port, json_rpc, skip};

/// A server whose processes may have so many files open, and not raise that.
fn limited(setup: Setup, files: u64) -> Setup {
    limited_to(setup, &format!("{files}:{files}"))
}

fn limited_to(setup: Setup, soft_and_hard: &str) -> Setup {
    let words: [OsString; 3] = ["prlimit".into(), format!("--nofile={soft_and_hard}").into(), "--".into()];
    setup.under(&words.each_ref().map(OsString::as_os_str))
}

/// The number that a refusal wants.
fn wanted(stderr: &str) -> u64 {
    let (_, rest) = stderr.split_once("this configuration needs ").unwrap_or_else(|| panic!("{stderr}"));
    let (number, _) = rest.split_once(';').unwrap();
    number.parse().unwrap()
}

#[test]
fn too_few_open_files_are_refused_with_the_number_that_does() {
    const TEST: &str = "start_limits::too_few_open_files_are_refused_with_the_number_that_does";
    if !exists("prlimit") {
        return skip(TEST, "no prlimit of util-linux");
    }
    let address =
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), free_tcp_port(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let http = || {
        let setup = Setup::unix().module("httpd").module("mi_http");
        setup.param_of("httpd", "port", &address.port().to_string())
    };
    let refused = limited(http(), 30).refuse();
    refused.assert_refused("30 open files", &["open files: the limit is 30", "open_files_limit="]);
    let number = wanted(&refused.stderr);
    limited(http(), number - 1).refuse().assert_refused("one too few", &[&format!("needs {number};")]);

    let server = limited(http(), number).start();
    let mut clients: Vec<Http> = (0..16).map(|_| Http::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&json_rpc("pwd", "[]")).status, 200);
    }
    assert_same("over the socket", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);

    // The limit that the configuration asks for counts.
    let server = limited_to(http().global(&format!("open_files_limit={number}")), "30:").start();
    assert_eq!(Http::connect(address).ask(&json_rpc("pwd", "[]")).status, 200);
    server.stop_clean(&[]);

    for setup in [Setup::unix, || Setup::unix().fifo()] {
        let number = wanted(&limited(setup(), 12).refuse().stderr);
        let server = limited(setup(), number).start();
        assert_same("with few open files", HELP_REPLY, &server.ask(HELP));
        server.stop_clean(&[]);
    }
}

#[test]
fn more_memory_than_the_machine_has_is_warned_of_with_both_numbers() {
    const TEST: &str = "start_limits::more_memory_than_the_machine_has_is_warned_of_with_both_numbers";
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = kilobytes.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let Some(asked) = kilobytes.map(|kilobytes| (kilobytes >> 10) + 1).filter(|asked| *asked < 262_144)
    else {
        return skip(TEST, "the machine's memory is not known, or more than -m takes");
    };
    let line = format!("warning: shared memory: {asked} megabytes asked for, but ");
    let setup = Setup::unix().arg("-m").arg(asked.to_string());
    let checked = setup.check();
    assert!(checked.status.success() && checked.stderr.contains(&line), "{checked:#?}");
    let least = checked.stderr.split(&line).nth(1).unwrap();
    assert!(least.contains(" has ") && least.contains("give a smaller -m"), "{least}");
    let server = setup.start();
    assert_same("with too much memory", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);
    let small = Setup::unix().arg("-m").arg("2").check();
    assert!(!small.stderr.contains("shared memory"), "{small:#?}");
}
