//! Whether a contact is a URI as OpenSIPS takes it: `sip:`, `sips:` or `tel:`, with its parts in their places.
//! Says nothing of what the parts mean.
//!
//! C: `parse_uri` in parser/parse_uri.c, as far as it refuses something.
//! Differs: C has no end for a URI that stops within `maddr=`, from `;ma` on, and refuses it; here it is taken.

/// Where in a URI the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind the scheme.
    Start,
    /// In the user, or the host when no user comes.
    User,
    /// Behind the first colon, digits so far: a port, or a password.
    PortOrPassword,
    /// Behind the first colon, not a number.
    Password,
    /// At the first byte of the host.
    HostStart,
    Host,
    /// Between brackets.
    Address,
    /// Behind the closing bracket.
    AddressEnd,
    Port,
    Parameters,
    Headers,
}

/// What is known of a user whose `@` may still come.
#[derive(Debug, Default)]
struct Known {
    /// There was one, or there is none.
    user: bool,
    /// A colon behind what may be a user.
    colon: bool,
    /// A semicolon among the headers: an error unless all this was a user.
    bad_headers: bool,
}

/// Whether OpenSIPS would accept this as a URI.
pub(super) fn is_valid(uri: &[u8]) -> bool {
    let Some(rest) = without_scheme(uri) else { return false };
    let mut known = Known::default();
    let mut place = Place::Start;
    for &byte in rest {
        match step(place, byte, &mut known) {
            Some(next) => place = next,
            None => return false,
        }
    }
    match place {
        Place::Start | Place::Password | Place::HostStart | Place::Address => false,
        Place::Headers => !known.bad_headers,
        Place::User
        | Place::PortOrPassword
        | Place::Host
        | Place::AddressEnd
        | Place::Port
        | Place::Parameters => true,
    }
}

/// What stands behind the scheme, in any case.
fn without_scheme(uri: &[u8]) -> Option<&[u8]> {
    let starts = |scheme: &[u8]| {
        let start = uri.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &uri[scheme.len()..])
    };
    starts(b"sip:").or_else(|| starts(b"sips:")).or_else(|| starts(b"tel:"))
}

/// The place behind a byte; `None` when the byte may not stand here.
fn step(place: Place, byte: u8, known: &mut Known) -> Option<Place> {
    Some(match (place, byte) {
        (Place::Start | Place::HostStart, b'[') => Place::Address,
        (Place::Start, b']' | b':' | b'@') => return None,
        (Place::Start, _) => Place::User,

        (Place::User | Place::PortOrPassword | Place::Password, b'@') => {
            known.user = true;
            Place::HostStart
        }
        (Place::User | Place::PortOrPassword | Place::Password, b'[' | b']') => return None,
        (Place::User, b':') => Place::PortOrPassword,
        (Place::User, b';') => Place::Parameters,
        (Place::User, b'?') => Place::Headers,
        (Place::User, _) => Place::User,

        (Place::PortOrPassword, b';' | b'?') => {
            known.user = true; // so it was the port, and there is no user
            if byte == b';' { Place::Parameters } else { Place::Headers }
        }
        (Place::PortOrPassword | Place::Password, b':') | (Place::Password, b';' | b'?') => return None,
        (Place::PortOrPassword, b'0'..=b'9') => Place::PortOrPassword,
        (Place::PortOrPassword | Place::Password, _) => Place::Password,

        (Place::HostStart, b':' | b';' | b'?' | b'&' | b'@') => return None,
        (Place::Host | Place::AddressEnd, b':') => Place::Port,
        (Place::Host | Place::AddressEnd | Place::Port, b';') => Place::Parameters,
        (Place::Host | Place::AddressEnd | Place::Port, b'?') => Place::Headers,
        (Place::Host, b'&' | b'@') | (Place::AddressEnd, _) => return None,
        (Place::HostStart | Place::Host, _) => Place::Host,
        (Place::Address, b']') => Place::AddressEnd,
        (Place::Address, b'[' | b'&' | b'@' | b';' | b'?') => return None,
        (Place::Address, _) => Place::Address,
        (Place::Port, b'0'..=b'9') => Place::Port,
        (Place::Port, _) => return None,

        (Place::Parameters | Place::Headers, _) => return step_behind_host(place, byte, known),
    })
}

/// In parameters or headers, which turn out to be the user when an `@` comes.
fn step_behind_host(place: Place, byte: u8, known: &mut Known) -> Option<Place> {
    match byte {
        b'@' if known.user => return None,
        b'@' => {
            known.user = true;
            known.bad_headers = false;
            return Some(Place::HostStart);
        }
        b':' if !known.user => {
            // A second colon: neither a user's nor a password's.
            known.user = known.colon;
            known.colon = !known.colon;
        }
        b';' if place == Place::Headers => {
            if known.user || known.colon {
                return None;
            }
            known.bad_headers = true;
        }
        b';' | b'?' if known.colon => {
            *known = Known { user: true, colon: false, ..*known };
        }
        _ => {}
    }
    Some(if byte == b'?' { Place::Headers } else { place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_that_opensips_stores() {
        for uri in [
            "sip:a",
            "SIP:alice@10.0.0.1:5060",
            "sips:alice@example.com",
            "tel:+123",
            "sip:10.0.0.1:5060;transport=tcp",
            "sip:alice:secret@host",
            "sip:alice:123@host:5060;lr?Subject=x",
            "sip:[::1]:5060",
            "sip:alice@[2001:db8::1];ob",
            "sip:alice;phone-context=x@host",
            "sip:alice;a=b:c@host",
            "sip:al?ice@host",
            "sip:al?i;ce@host",
            "sip:host:",
            "sip:alice@host?a=b",
            "sip:;",
            "sip:a b",
            "sip:host;a:b:c",
            "sip:host;maddr=",
        ] {
            assert!(is_valid(uri.as_bytes()), "{uri}");
        }
    }

    #[test]
    fn uris_that_opensips_refuses() {
        for uri in [
            "",
            "sip:",
            "sips:",
            "tel:",
            "notauri",
            "http://host",
            "sip",
            "sips",
            "sip:@host",
            "sip::5060",
            "sip:alice@",
            "sip:alice@@host",
            "sip:alice@:5060",
            "sip:alice@host:x",
            "sip:host:port",
            "sip:a:b:c",
            "sip:alice:secret;x",
            "sip:[::1",
            "sip:[::1]x",
            "sip:ali[ce@host",
            "sip:alice@host&x",
            "sip:host;a=b@c@d",
            "sip:alice@host;x@y",
            "sip:host?a;b",
            "sip:host:1;a@b",
            "sip:host;a:b:c@d",
        ] {
            assert!(!is_valid(uri.as_bytes()), "{uri}");
        }
    }
}
