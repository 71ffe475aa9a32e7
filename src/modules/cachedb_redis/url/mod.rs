//! Where a Redis server is: `redis[:GROUP]://[[USER]:PASSWORD@]HOST[:PORT]/[DATABASE]`, read from `cachedb_url`.
//!
//! Pure: looks up no name. C: `parse_cachedb_url` in cachedb/cachedb_id.c; IPv6 addresses and the part behind `?`,
//! which has no effect, are of 2.4. Differs: the last `/` may be left out, and so may the port, which is 6379 then;
//! a scheme, port or database that cannot be is an error.

use std::fmt;

/// The port of Redis.
const DEFAULT_PORT: u16 = 6379;

/// What is wrong with a URL. The password is not among what is shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("not UTF-8; write redis:GROUP://HOST:PORT/")]
    NotText,
    #[error("the scheme is {0:?}, not \"redis\"; write redis:GROUP://HOST:PORT/")]
    Scheme(String),
    #[error("no :// behind the group; write redis:GROUP://HOST:PORT/")]
    NoSlashes,
    #[error("no host; write redis:GROUP://HOST:PORT/")]
    NoHost,
    #[error(
        "{0:?} names several hosts; name one, and set cachedb_url again for another, in a group of its own"
    )]
    SeveralHosts(String),
    #[error("{0:?} has more than one colon; write an IPv6 address in brackets, as in redis://[::1]:6379/")]
    Colons(String),
    #[error("{0:?} is no IPv6 address in brackets with a port; write redis://[::1]:6379/")]
    Brackets(String),
    #[error("port {0:?} is not in [1, 65535]; write redis:GROUP://HOST:6379/")]
    Port(String),
    #[error("database {0:?} is not a number; write redis:GROUP://HOST:PORT/0")]
    Database(String),
}

/// A server and who we are there. Prints as `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// As commands name it: `redis`, or `redis:GROUP`.
    pub(super) system: String,
    /// With which password, if any.
    pub(super) login: Option<Login>,
    /// A name or an address, without brackets.
    pub(super) host: String,
    /// Its TCP port.
    pub(super) port: u16,
    /// Number of the database, as `SELECT` takes it.
    pub(super) database: u32,
    /// Whether there is an `@` with something before it that is no password, and so is not used.
    pub(super) lacks_password: bool,
}

/// A password, and whose.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// Without one, Redis's default user.
    pub(super) user: Option<String>,
    /// Never empty.
    pub(super) password: String,
}

/// Shows no password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Url {
    /// Reads the value of one `cachedb_url`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Url, UrlError> {
        let text = std::str::from_utf8(text).map_err(|_| UrlError::NotText)?;
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        if scheme.contains('@') {
            // Shown, it could be a password.
            return Err(UrlError::NoSlashes);
        }
        if scheme != "redis" {
            return Err(UrlError::Scheme(scheme.to_owned()));
        }
        let (group, rest) = match rest.strip_prefix("//") {
            Some(rest) => ("", rest),
            None => rest.split_once("://").ok_or(UrlError::NoSlashes)?,
        };
        if group.contains(['/', ':']) {
            return Err(UrlError::NoSlashes);
        }
        // The last @ first: a password may hold each character that means something behind it.
        let (before, server) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (address, database) = server.split_once('/').unwrap_or((server, ""));
        let (host, port) = host_and_port(address)?;
        let login = Login::parse(before);
        Ok(Url {
            system: if group.is_empty() { scheme.to_owned() } else { format!("{scheme}:{group}") },
            lacks_password: login.is_none() && !before.is_empty(),
            login,
            host: host.to_owned(),
            port,
            database: database_number(database)?,
        })
    }

    /// Whether commands name it with a group.
    pub(super) fn has_group(&self) -> bool {
        self.system.contains(':')
    }
}

impl Login {
    /// `USER:PASSWORD`, each possibly empty. A user without a password is nobody. C: the same, by `redis_connect`.
    fn parse(text: &str) -> Option<Login> {
        let (user, password) = text.split_once(':')?;
        let user = (!user.is_empty()).then(|| user.to_owned());
        (!password.is_empty()).then(|| Login { user, password: password.to_owned() })
    }
}

/// `HOST`, `HOST:PORT`, `[::1]` or `[::1]:PORT`.
fn host_and_port(address: &str) -> Result<(&str, u16), UrlError> {
    // C: `CACHEDB_ID_MULTIPLE_HOSTS`, which redis_new_connection refuses.
    if address.contains(',') {
        return Err(UrlError::SeveralHosts(address.to_owned()));
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(inside) => {
            let wrong = || UrlError::Brackets(address.to_owned());
            let (host, port) = inside.split_once(']').ok_or_else(wrong)?;
            match port.strip_prefix(':') {
                None if port.is_empty() => (host, None),
                None => return Err(wrong()),
                Some(port) => (host, Some(port)),
            }
        }
        None => match address.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(UrlError::Colons(address.to_owned())),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    if host.contains(['[', ']']) {
        return Err(UrlError::Brackets(address.to_owned()));
    }
    let number = |port: &str| digits(port).filter(|&port| port != 0).ok_or(UrlError::Port(port.to_owned()));
    Ok((host, port.map_or(Ok(DEFAULT_PORT), number)?))
}

/// What stands behind the slash.
fn database_number(text: &str) -> Result<u32, UrlError> {
    match text.split('?').next().unwrap_or_default() {
        "" => Ok(0),
        number => digits(number).ok_or_else(|| UrlError::Database(number.to_owned())),
    }
}

/// A number without a sign.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
