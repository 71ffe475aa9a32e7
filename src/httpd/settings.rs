//! What the settings of the modules that serve over HTTP have in common.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{Effect, Kind, Parameter, Settings};
use crate::module::SettingError;

/// A parameter of the modules that listen.
pub const HOST_NAMES: Parameter = Parameter {
    name: "host_names",
    kind: Kind::Text,
    effect: Effect::Used,
    help: "names that a request to an address of loopback may ask for, besides this machine's own; no default",
};

/// The names in that parameter, which have commas or blanks between them.
///
/// # Errors
/// When one of them cannot be that of a machine.
pub fn host_names(settings: &Settings) -> Result<Vec<String>, SettingError> {
    let text = String::from_utf8_lossy(settings.text(HOST_NAMES.name).unwrap_or_default()).into_owned();
    let names = text.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    names
        .map(|name| match name.bytes().all(is_name) {
            true => Ok(name.trim_end_matches('.').to_owned()),
            false => Err(SettingError {
                parameter: HOST_NAMES.name,
                message: format!(
                    "\"{name}\" is no name of a machine; write names without port, with commas between them, \
                     e.g. \"mi.example.net\""
                ),
            }),
        })
        .collect()
}

/// Where a module that listens for HTTP does so: `ip` and `port`, on this machine alone without `ip`.
///
/// # Errors
/// When `ip` is no address.
pub fn address(settings: &Settings, port: u16) -> Result<SocketAddr, SettingError> {
    let port = settings.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(port);
    let Some(text) = settings.text("ip").filter(|text| !text.is_empty()) else {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    };
    let text = String::from_utf8_lossy(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    let address: IpAddr = bare.parse().map_err(|_| SettingError {
        parameter: "ip",
        message: format!("\"{text}\" is no IP address; write e.g. \"127.0.0.1\" or \"::1\""),
    })?;
    Ok((address, port).into())
}

/// How many processes do so.
#[must_use]
pub fn workers(settings: &Settings) -> usize {
    settings.integer("children_count").and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
}

/// The path under which a module is served.
///
/// # Errors
/// When it cannot be in a request.
pub fn root(settings: &Settings, parameter: &'static str, default: &str) -> Result<String, SettingError> {
    let Some(text) = settings.text(parameter) else { return Ok(default.to_owned()) };
    let root = String::from_utf8_lossy(text);
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    let bare = root.trim_matches('/');
    if bare.is_empty() || !bare.bytes().all(is_path) {
        let message = format!("\"{root}\" is no path; write letters, digits and dashes, e.g. \"{default}\"");
        return Err(SettingError { parameter, message });
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Known};

    const PARAMETERS: &[Parameter] = &[
        HOST_NAMES,
        Parameter { name: "ip", kind: Kind::Text, effect: Effect::Used, help: "" },
        Parameter { name: "root", kind: Kind::Text, effect: Effect::Used, help: "" },
    ];

    fn settings(name: &str, value: &str) -> Settings {
        let text = format!("loadmodule \"x.so\"\nmodparam(\"x\", \"{name}\", \"{value}\")\n").into_bytes();
        let (document, mut diagnostics) = config::parse(Path::new("x"), &mut |_: &Path| Ok(text.clone()));
        let known = |_: &str, _: &Path| Known::Builtin(PARAMETERS);
        config::resolve(document, &known, &mut diagnostics).module("x").unwrap().settings.clone()
    }

    #[test]
    fn addresses_are_those_of_ip() {
        let found = |text: &str| address(&settings("ip", text), 80).map(|it| it.to_string());
        assert_eq!(address(&Settings::default(), 80).unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(found("::1").unwrap(), "[::1]:80");
        assert_eq!(found("[::]").unwrap(), "[::]:80");
        assert_eq!(found("0.0.0.0").unwrap(), "0.0.0.0:80");
        for wrong in ["localhost", "127.0.0.1:80", "*"] {
            let error = found(wrong).unwrap_err();
            assert!(error.parameter == "ip" && error.message.contains(wrong), "{}", error.message);
        }
    }

    #[test]
    fn host_names_have_commas_between_them() {
        let found = |text: &str| host_names(&settings("host_names", text)).map_err(|error| error.message);
        assert_eq!(host_names(&Settings::default()).unwrap(), [""; 0]);
        assert_eq!(found(" a.example,b_2 ,, c-3. ").unwrap(), ["a.example", "b_2", "c-3"]);
        for wrong in ["*", "a:80", "http://a", "[::1]"] {
            assert!(found(wrong).unwrap_err().contains("without port"), "{wrong}");
        }
    }

    #[test]
    fn a_root_is_a_path() {
        let found = |text: &str| root(&settings("root", text), "root", "mi").map_err(|error| error.message);
        assert_eq!(root(&Settings::default(), "root", "mi").unwrap(), "mi");
        assert_eq!(found("/a/b/").unwrap(), "a/b");
        for wrong in ["", "/", "a b", "a?b", "\u{fc}"] {
            assert!(found(wrong).unwrap_err().contains("e.g. \"mi\""));
        }
    }
}
