//! The command line: what it prints, what it refuses, and what an option does to the server.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use crate::scripted::run;
use crate::support::{HELP, HELP_REPLY, Setup, assert_same, free_tcp_port};

#[test]
fn version_and_help_go_to_stdout() {
    for option in ["-V", "--version"] {
        let version = Setup::unix().run(&[option]);
        assert!(version.status.success(), "{version:#?}");
        assert!(version.stdout.contains(concat!("opensips-mi-", env!("CARGO_PKG_VERSION"))), "{version:#?}");
        let commit =
            version.stdout.lines().find_map(|line| line.strip_prefix("commit: ")).unwrap_or_default();
        let is_commit = commit.len() >= 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_commit || commit == "unknown", "{version:#?}");
        assert_eq!(version.stderr, "");
    }
    for option in ["-h", "--help"] {
        let help = Setup::unix().run(&[option]);
        assert!(help.status.success(), "{help:#?}");
        for option in "f c C D E F P G u g t w m o V h".split(' ') {
            assert!(help.stdout.contains(&format!("-{option}")), "-{option} is not in the help: {help:#?}");
        }
        assert_eq!(help.stderr, "");
    }
}

#[test]
fn a_wrong_option_is_refused_and_named() {
    let cases: [(&[&str], &str); 6] = [
        (&["-z"], "-z"),
        (&["--no-such-option"], "no-such-option"),
        (&["-f"], "-f"),
        (&["-F", "-m", "lots"], "lots"),
        (&["-F", "-m", "0"], "-m"),
        (&["-F", "-u", "no-such-user"], "no-such-user"),
    ];
    for (args, word) in cases {
        let setup = Setup::unix();
        let config = setup.config_path();
        // -f is only missing its argument where that is the case.
        let mut all = vec!["-f", config.to_str().unwrap()];
        all.extend(args);
        let outcome = setup.run(if args == ["-f"] { args } else { &all });
        outcome.assert_refused(&args.join(" "), &[word]);
        assert!(!setup.socket().exists(), "{args:?}: a server started");
    }
}

/// C: `main`, the check after the options.
#[test]
fn options_d_and_f_together_are_refused() {
    let setup = Setup::unix().arg("-D");
    setup.refuse().assert_refused("-D with -F", &["-D", "-F"]);
    assert!(!setup.socket().exists());
}

/// An init script of a proxy passes these; the server has no use for them and starts.
#[test]
fn options_of_the_sip_side_are_accepted() {
    let mut setup = Setup::unix();
    let args = "-l udp:127.0.0.1:5060 -n 4 -N 2 -b 4096 -r -R -v -d -d -T -S -W poll -E";
    for arg in args.split(' ') {
        setup = setup.arg(arg);
    }
    let server = setup.start();
    assert_same("with options of the SIP side", HELP_REPLY, &server.ask(HELP));
    let stderr = server.stderr();
    assert!(stderr.contains("no effect"), "nothing says that they have no effect:\n{stderr}");
    server.stop_clean(&[]);
}

#[test]
fn option_w_sets_the_working_folder() {
    let setup = Setup::unix();
    let folder = setup.folder.join("work");
    std::fs::create_dir(&folder).unwrap();
    let server = setup.arg("-w").arg(&folder).start();
    let wanted = format!("200 OK\nWD:: {}\n", folder.display());
    assert_same("pwd", wanted.as_bytes(), &server.ask(b":pwd:\n"));
    server.stop_clean(&[]);
}

#[test]
fn arg_lists_the_arguments() {
    let setup = Setup::unix().arg("-m").arg("32");
    let config = setup.config_path().display().to_string();
    let program = setup.program().get_program().display().to_string();
    let server = setup.start();
    let reply = String::from_utf8(server.ask(b":arg:\n")).unwrap();
    let lines: Vec<&str> = reply.lines().collect();
    assert_eq!(lines, ["200 OK", &program, "-m", "32", "-F", "-f", &config], "{reply}");
    server.stop_clean(&[]);
}

#[test]
fn option_m_bounds_the_shared_memory() {
    let server = Setup::unix().arg("-m").arg("32").start();
    let reply = server.ask(b":get_statistics:\nshmem:\n");
    let text = String::from_utf8(reply).unwrap();
    assert!(text.starts_with("200 OK\nshmem:total_size:: 33554432\n"), "{text}");
    server.stop_clean(&[]);
}

#[test]
fn option_e_logs_to_stderr_whatever_the_file_says() {
    let setup = Setup::unix().param("unix_socket_mode", "0");
    let quiet = setup.config().replace("log_stderror=yes", "log_stderror=no");
    let server = setup.text(quiet).arg("-E").start();
    let stderr = server.stderr();
    assert!(stderr.contains("WARNING:"), "no warning about the mode in\n{stderr}");
    server.stop_clean(&[]);
}

#[test]
fn a_configuration_comes_by_standard_input() {
    let check = |input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opensips-mi"));
        run(command.args(["-c", "-f", "-"]), input.as_bytes())
    };
    let good = check("debug=3\n");
    assert!(good.status.success() && good.stdout == "<stdin>: no errors\n", "{good:#?}");
    let bad = check("debug=x\n");
    assert!(bad.status.code() == Some(255) && bad.stderr.starts_with("<stdin>:1:7: "), "{bad:#?}");
}

/// What `opensips-cli diagnose` warns of: more than 70 % in use, or 80 % at some time.
#[test]
fn an_idle_server_has_private_memory_to_spare() {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for (args, least) in [(&[][..], 2 << 20), (&["-M", "4"], 4 << 20)] {
        let modules = ["cachedb_local", "usrloc", "event_datagram", "httpd", "mi_http", "mi_json"];
        let setup = modules.into_iter().fold(Setup::unix().fifo(), Setup::module);
        let setup = setup.param_of("httpd", "port", &free_tcp_port(host).to_string());
        let server = args.iter().fold(setup, Setup::arg).start();
        let reply = String::from_utf8(server.ask(b":get_statistics:\npkmem:\n")).unwrap();
        let figure = |id: usize, name: &str| -> u64 {
            let line = format!("pkmem:{id}-{name}:: ");
            reply.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).expect(&line)
        };
        for id in 0..server.ps().len() {
            let [total, used, max_used, free] =
                ["total_size", "real_used_size", "max_used_size", "free_size"].map(|name| figure(id, name));
            assert!(total >= least && total == used + free, "process {id}:\n{reply}");
            assert!(used * 100 <= total * 70 && max_used * 100 <= total * 80, "process {id}:\n{reply}");
        }
        server.stop_clean(&[]);
    }
}
