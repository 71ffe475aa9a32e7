//! Reads the parameters that several HTTP modules share.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Param, Settings};
use crate::module::SettingError;

/// The address to listen on.
pub const IP: Param<&[u8]> = Param::text("ip", "127.0.0.1", "address to listen on, IPv4 or IPv6");

/// The number of worker processes.
pub const CHILDREN_COUNT: Param<u16> = Param::u16("children_count", 1..=1024, 1, "worker processes");

/// Host names that a request to a loopback address may have.
pub const HOST_NAMES: Param<Option<&[u8]>> = Param::optional_text(
    "host_names",
    "names that a request to an address of loopback may ask for, besides this machine's own",
);

/// The names in [`HOST_NAMES`], which commas or blanks separate.
///
/// # Errors
/// When one of them is not a host name.
pub fn host_names(settings: &Settings) -> Result<Vec<String>, SettingError> {
    let text = String::from_utf8_lossy(settings.get(HOST_NAMES).unwrap_or_default()).into_owned();
    let names = text.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    names
        .map(|name| match name.bytes().all(is_name) {
            true => Ok(name.trim_end_matches('.').to_owned()),
            false => Err(SettingError {
                parameter: HOST_NAMES.name(),
                message: format!(
                    "\"{name}\" is not a host name; write names without port, separated by commas, \
                     e.g. \"mi.example.net\""
                ),
            }),
        })
        .collect()
}

/// The socket address of [`IP`] and `port`. An empty [`IP`] stands for its default.
///
/// # Errors
/// When [`IP`] is not an IP address.
pub fn address(settings: &Settings, port: Param<u16>) -> Result<SocketAddr, SettingError> {
    let text = Some(settings.get(IP)).filter(|text| !text.is_empty()).unwrap_or(IP.default);
    let text = String::from_utf8_lossy(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    let address: IpAddr = bare.parse().map_err(|_| SettingError {
        parameter: IP.name(),
        message: format!("\"{text}\" is not an IP address; write e.g. \"127.0.0.1\" or \"::1\""),
    })?;
    Ok((address, settings.get(port)).into())
}

/// The root of a module's route, without slashes at its ends.
///
/// # Errors
/// When it is empty or has a character that cannot stand in the path of a URL.
pub fn root(settings: &Settings, parameter: Param<&[u8]>) -> Result<String, SettingError> {
    let root = String::from_utf8_lossy(settings.get(parameter));
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    let bare = root.trim_matches('/');
    if bare.is_empty() || !bare.bytes().all(is_path) {
        let default = parameter.row.default;
        let message =
            format!("\"{root}\" is not a path; write letters, digits and dashes, e.g. \"{default}\"");
        return Err(SettingError { parameter: parameter.name(), message });
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, ModuleSupport, ParameterRow};

    const PORT: Param<u16> = Param::u16("port", 1..=65_535, 80, "");
    const ROOT: Param<&[u8]> = Param::text("root", "mi", "");
    const PARAMETERS: &[ParameterRow] = &[HOST_NAMES.row, IP.row, ROOT.row];

    fn settings(name: &str, value: &str) -> Settings {
        let text = format!("loadmodule \"x.so\"\nmodparam(\"x\", \"{name}\", \"{value}\")\n").into_bytes();
        let (document, mut diagnostics) = config::parse(Path::new("x"), &mut |_: &Path| Ok(text.clone()));
        let known = |_: &str, _: &Path| ModuleSupport::Builtin(PARAMETERS);
        config::resolve(document, &known, &mut diagnostics).module("x").unwrap().settings.clone()
    }

    #[test]
    fn an_address_is_an_ip_address_and_a_port() {
        let found = |text: &str| address(&settings("ip", text), PORT).map(|it| it.to_string());
        assert_eq!(address(&Settings::default(), PORT).unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(found("::1").unwrap(), "[::1]:80");
        assert_eq!(found("[::]").unwrap(), "[::]:80");
        assert_eq!(found("0.0.0.0").unwrap(), "0.0.0.0:80");
        for wrong in ["localhost", "127.0.0.1:80", "*"] {
            let error = found(wrong).unwrap_err();
            assert!(error.parameter == "ip" && error.message.contains(wrong), "{}", error.message);
        }
    }

    #[test]
    fn host_names_are_separated_by_commas_or_blanks() {
        let found = |text: &str| host_names(&settings("host_names", text)).map_err(|error| error.message);
        assert_eq!(host_names(&Settings::default()).unwrap(), [""; 0]);
        assert_eq!(found(" a.example,b_2 ,, c-3. ").unwrap(), ["a.example", "b_2", "c-3"]);
        for wrong in ["*", "a:80", "http://a", "[::1]"] {
            assert!(found(wrong).unwrap_err().contains("without port"), "{wrong}");
        }
    }

    #[test]
    fn a_root_is_the_path_of_a_url() {
        let found = |text: &str| root(&settings("root", text), ROOT).map_err(|error| error.message);
        assert_eq!(root(&Settings::default(), ROOT).unwrap(), "mi");
        assert_eq!(found("/a/b/").unwrap(), "a/b");
        for wrong in ["", "/", "a b", "a?b", "\u{fc}"] {
            assert!(found(wrong).unwrap_err().contains("e.g. \"mi\""));
        }
    }
}
