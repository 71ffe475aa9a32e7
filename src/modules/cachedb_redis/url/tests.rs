//! Every form of a URL, and every way to get one wrong.

use super::*;

fn url(system: &str, login: Option<(&str, &str)>, host: &str, port: u16, database: u32) -> Url {
    let login = login.map(|(user, password)| Login {
        user: (!user.is_empty()).then(|| user.to_owned()),
        password: password.to_owned(),
    });
    Url { system: system.to_owned(), login, host: host.to_owned(), port, database, lacks_password: false }
}

#[test]
fn every_form_is_read() {
    for (text, wanted) in [
        ("redis:group1://localhost:6379/", url("redis:group1", None, "localhost", 6379, 0)),
        ("redis://localhost:6379/", url("redis", None, "localhost", 6379, 0)),
        ("redis:://localhost:6379/", url("redis", None, "localhost", 6379, 0)),
        ("redis:cluster1://random_url:8888/", url("redis:cluster1", None, "random_url", 8888, 0)),
        ("redis:g://localhost/", url("redis:g", None, "localhost", 6379, 0)),
        ("redis:g://localhost", url("redis:g", None, "localhost", 6379, 0)),
        ("redis:g://10.0.0.1:65535", url("redis:g", None, "10.0.0.1", 65535, 0)),
        ("redis:g://h:1/15", url("redis:g", None, "h", 1, 15)),
        ("redis:g://h/15?a=b", url("redis:g", None, "h", 6379, 15)),
        ("redis:g://h/?", url("redis:g", None, "h", 6379, 0)),
        ("redis:g://[::1]/", url("redis:g", None, "::1", 6379, 0)),
        ("redis:g://[fe80::1]:7000/2", url("redis:g", None, "fe80::1", 7000, 2)),
        ("redis:g://:secret@h:7000/2", url("redis:g", Some(("", "secret")), "h", 7000, 2)),
        ("redis:g://mi:secret@h/", url("redis:g", Some(("mi", "secret")), "h", 6379, 0)),
        ("redis:g://mi:se:c@ret@[::1]:7000/", url("redis:g", Some(("mi", "se:c@ret")), "::1", 7000, 0)),
        ("redis:g://:a/b@h:7000/2", url("redis:g", Some(("", "a/b")), "h", 7000, 2)),
        ("redis:g://mi:a/b?c=d://e@f@[::1]/", url("redis:g", Some(("mi", "a/b?c=d://e@f")), "::1", 6379, 0)),
        ("redis://:/@h", url("redis", Some(("", "/")), "h", 6379, 0)),
        ("redis:g://@h/", url("redis:g", None, "h", 6379, 0)),
    ] {
        assert_eq!(Url::parse(text.as_bytes()), Ok(wanted), "{text}");
    }
}

#[test]
fn a_log_in_without_a_password_is_noticed() {
    for text in ["redis:g://secret@h/", "redis:g://mi:@h/", "redis:g://:@h/", "redis:g://a/b@h/"] {
        let wanted = Url { lacks_password: true, ..url("redis:g", None, "h", 6379, 0) };
        assert_eq!(Url::parse(text.as_bytes()), Ok(wanted), "{text}");
    }
}

#[test]
fn every_mistake_has_its_error() {
    let text = str::to_owned;
    for (url, wanted) in [
        (&b""[..], UrlError::Scheme(text(""))),
        (b"redis", UrlError::NoSlashes),
        (b"redis:", UrlError::NoSlashes),
        (b"redis:group1", UrlError::NoSlashes),
        (b"redis:/localhost/", UrlError::NoSlashes),
        (b"redis:a:b://localhost/", UrlError::NoSlashes),
        (b"redis:a/b://localhost/", UrlError::NoSlashes),
        (b"redis:localhost:6379", UrlError::NoSlashes),
        (b"rediss://localhost/", UrlError::Scheme(text("rediss"))),
        (b"localhost", UrlError::Scheme(text("localhost"))),
        (b"secret@localhost", UrlError::NoSlashes),
        (b"redis://\xff/", UrlError::NotText),
        (b"redis://", UrlError::NoHost),
        (b"redis:///", UrlError::NoHost),
        (b"redis:g://:6379/", UrlError::NoHost),
        (b"redis:g://:secret@/", UrlError::NoHost),
        (b"redis:g://[]/", UrlError::NoHost),
        (b"redis:g://a,b/", UrlError::SeveralHosts(text("a,b"))),
        (b"redis:g://:p@a:1,b:2/", UrlError::SeveralHosts(text("a:1,b:2"))),
        (b"redis:g://::1/", UrlError::Colons(text("::1"))),
        (b"redis:g://[::1/", UrlError::Brackets(text("[::1"))),
        (b"redis:g://[::1]6379/", UrlError::Brackets(text("[::1]6379"))),
        (b"redis:g://h:/", UrlError::Port(text(""))),
        (b"redis:g://h:0/", UrlError::Port(text("0"))),
        (b"redis:g://h:65536/", UrlError::Port(text("65536"))),
        (b"redis:g://h:+1/", UrlError::Port(text("+1"))),
        (b"redis:g://h:port/", UrlError::Port(text("port"))),
        (b"redis:g://h/name", UrlError::Database(text("name"))),
        (b"redis:g://h/-1", UrlError::Database(text("-1"))),
        (b"redis:g://h/1/2", UrlError::Database(text("1/2"))),
        (b"redis:g://h/4294967296", UrlError::Database(text("4294967296"))),
    ] {
        assert_eq!(Url::parse(url), Err(wanted), "{}", url.escape_ascii());
    }
}

#[test]
fn a_password_is_never_shown() {
    let url = Url::parse(b"redis:g://mi:secret@[::1]:7000/3").unwrap();
    assert_eq!(url.to_string(), "[::1]:7000");
    let shown = format!("{url:?}");
    assert!(shown.contains("mi") && !shown.contains("secret"), "{shown}");
    for broken in [
        "redis:g://mi:secret@h:0/",
        "redis:g://mi:secret@a,b/",
        "redis:g://mi:secret@/",
        "redis:g://mi:secret@secret@h:x/secret@h/y",
        "redis:g://mi:/secret@h/x",
        "secret@h",
    ] {
        let error = Url::parse(broken.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

/// No text stops the program, and what is taken for a URL is one: it reads the same again.
#[test]
fn what_is_printed_reads_the_same() {
    use proptest::prelude::*;

    proptest!(|(text in "redis(:[a-z]{0,2})?://([a-z]{0,2}:[a-z:@/]{0,3}@)?[a-z:\\[\\],0-9]{0,9}(/[0-9a-z?]{0,3})?")| {
        if let Ok(url) = Url::parse(text.as_bytes()) {
            let again = format!("{}://{url}/{}", url.system, url.database);
            prop_assert_eq!(Url::parse(again.as_bytes()), Ok(Url { login: None, lacks_password: false, ..url }));
        }
    });
}
