//! Header fields on their way through (RFC 9110 section 7.6): which stay behind.

use alloc::string::String;

/// Fields of one connection, those that the proxy makes itself, and one that some servers take for the address of a proxy of theirs.
const OF_CONNECTION: [&str; 12] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Transfer-Encoding",
    "TE",
    "Trailer",
    "Upgrade",
    "HTTP2-Settings",
    "Content-Length",
    "Expect",
    "Proxy-Authorization",
    "Proxy",
];

/// Fields that say whose a request is, which the proxy says itself; beside them all that begin as [`FORWARDED`] does.
const OF_CLIENT: [&str; 8] = [
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "Client-IP",
    "Front-End-Https",
    "X-Forwarded",
];
const FORWARDED: &str = "X-Forwarded-";

/// Fields with a client's certificate, which the proxy alone says (RFC 9440 section 4).
const OF_CERTIFICATE: [&str; 2] = ["Client-Cert", "Client-Cert-Chain"];

/// The most octets of a list of protocols, and of the protocols in it.
const LONGEST: usize = 256;

/// Whether a field goes on, of a message whose `Connection` fields have these values.
pub fn goes_on<'v>(name: &str, mut connection: impl Iterator<Item = &'v [u8]>) -> bool {
    let is_named = |value: &[u8]| elements(value).any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
    !has(&OF_CONNECTION, name) && !connection.any(is_named)
}

/// Whether a message with these `Connection` fields is the last of its connection.
pub fn closes<'v>(mut connection: impl Iterator<Item = &'v [u8]>) -> bool {
    connection.any(|value| elements(value).any(|option| option.eq_ignore_ascii_case(b"close")))
}

/// Whether one of these `Via` fields says that a message has passed who is called so (RFC 9110 section 7.6.3).
pub fn has_passed<'v>(mut via: impl Iterator<Item = &'v [u8]>, name: &str) -> bool {
    let is_by = |element: &[u8]| {
        let mut words = element.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
    };
    via.any(|value| elements(value).any(is_by))
}

/// Whether a field of a request says whose it is.
pub fn is_of_client(name: &str) -> bool {
    let begins = name.get(..FORWARDED.len()).is_some_and(|start| is_same(FORWARDED, start));
    begins || has(&OF_CLIENT, name)
}

/// Whether a field of a request says which certificate its client has shown: nobody but the proxy has seen that.
pub fn is_of_certificate(name: &str) -> bool {
    has(&OF_CERTIFICATE, name)
}

/// The elements of a list with commas between.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The protocols of `Upgrade` that may go on: not other ways of HTTP, in which requests would pass that nobody has looked at.
pub fn protocols<'v>(values: impl Iterator<Item = &'v [u8]>) -> String {
    let mut list = String::new();
    for protocol in values.flat_map(elements).filter_map(|protocol| core::str::from_utf8(protocol).ok()) {
        let name = protocol.split('/').next().unwrap_or_default();
        let is_http = ["h2c", "h2", "http", "tls"].iter().any(|own| own.eq_ignore_ascii_case(name));
        if !is_http && list.len() + protocol.len() <= LONGEST {
            list.push_str(if list.is_empty() { "" } else { ", " });
            list.push_str(protocol);
        }
    }
    list
}

/// Whether what a server goes on with is among what it was asked for.
pub fn was_asked(protocols: &str, answer: Option<&str>) -> bool {
    let is_among =
        |one: &[u8]| elements(protocols.as_bytes()).any(|protocol| protocol.eq_ignore_ascii_case(one));
    answer.is_some_and(|answer| {
        elements(answer.as_bytes()).all(is_among) && elements(answer.as_bytes()).next().is_some()
    })
}

fn has(names: &[&str], name: &str) -> bool {
    names.iter().any(|own| is_same(own, name))
}

/// Whether a name is that of ours, or is taken for it: behind many servers programs see `_` for both.
fn is_same(own: &str, name: &str) -> bool {
    let of = |b: u8| if b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    own.len() == name.len() && own.bytes().zip(name.bytes()).all(|(a, b)| of(a) == of(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on() {
        for (name, connection, expected) in [
            ("Accept", "", true),
            ("accept", "close, Accept", false),
            ("X-Own", "x-own", false),
            ("X-Own", "x-owner", true),
            ("transfer-encoding", "", false),
            ("TE", "", false),
            ("Upgrade", "upgrade", false),
            ("Cookie", "close", true),
            ("Transfer_Encoding", "", false),
            ("proxy", "", false),
            ("HTTP2-Settings", "", false),
        ] {
            assert_eq!(goes_on(name, [connection.as_bytes()].into_iter()), expected, "{name} {connection}");
        }
        for (name, expected) in [
            ("x-forwarded-for", true),
            ("X_Forwarded_For", true),
            ("X-Forwarded-Anything", true),
            ("FORWARDED", true),
            ("x-real-ip", true),
            ("Host", false),
            ("X-Forward", false),
            ("X-Own", false),
        ] {
            assert_eq!(is_of_client(name), expected, "{name}");
        }
        for (name, expected) in [
            ("client-cert", true),
            ("Client_Cert", true),
            ("CLIENT-CERT-CHAIN", true),
            ("Client-Cert_Chain", true),
            ("Client-Certificate", false),
        ] {
            assert_eq!(is_of_certificate(name), expected, "{name}");
        }
    }

    #[test]
    fn what_any_of_several_fields_names() {
        let connection = ["close", "X-One , x-two", "", "Keep-Alive"].map(str::as_bytes);
        for (name, expected) in [("x-one", false), ("X-Two", false), ("X-Three", true), ("close", false)] {
            assert_eq!(goes_on(name, connection.into_iter()), expected, "{name}");
        }
        assert!(closes(connection.into_iter()) && !closes([&b"closed, x"[..]].into_iter()));
    }

    #[test]
    fn who_has_been_passed() {
        for (via, expected) in [
            (&["1.1 fata-1"][..], true),
            (&["1.0 a, 2.0  FATA-1 (proxy)"], true),
            (&["1.1 a", "HTTP/1.1 fata-1"], true),
            (&["1.1 fata-12", "fata-1", "1.1 a (fata-1)"], false),
            (&[], false),
        ] {
            assert_eq!(has_passed(via.iter().map(|value| value.as_bytes()), "fata-1"), expected, "{via:?}");
        }
    }

    #[test]
    fn other_protocols() {
        for (values, expected) in [
            (&["websocket"][..], "websocket"),
            (&["h2c"], ""),
            (&["h2c, websocket"], "websocket"),
            (&["HTTP/2.0", "websocket , irc/6.9"], "websocket, irc/6.9"),
            (&["TLS/1.0", "H2"], ""),
            (&[",", "\u{e9}"], "\u{e9}"),
            (&[], ""),
        ] {
            assert_eq!(protocols(values.iter().map(|value| value.as_bytes())), expected, "{values:?}");
        }
        for (asked, answer, expected) in [
            ("websocket", Some("WebSocket"), true),
            ("a, b", Some("b"), true),
            ("a", Some("a, b"), false),
            ("a", Some("h2c"), false),
            ("a", Some(""), false),
            ("a", None, false),
        ] {
            assert_eq!(was_asked(asked, answer), expected, "{asked} {answer:?}");
        }
    }
}
