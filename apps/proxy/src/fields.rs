//! Header fields on their way through (RFC 9110 section 7.6): which stay behind.

/// Fields of one connection, and those that the proxy makes itself.
const OF_CONNECTION: [&str; 10] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Transfer-Encoding",
    "TE",
    "Trailer",
    "Upgrade",
    "Content-Length",
    "Expect",
    "Proxy-Authorization",
];

/// Fields that say whose a request is, which the proxy says itself.
const OF_CLIENT: [&str; 5] =
    ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded"];

/// Whether a field goes on, of a message whose `Connection` fields have these values.
pub fn goes_on<'v>(name: &str, mut connection: impl Iterator<Item = &'v [u8]>) -> bool {
    let is_named = |value: &[u8]| {
        value.split(|&b| b == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    !has(&OF_CONNECTION, name) && !connection.any(is_named)
}

/// Whether a field of a request says whose it is.
pub fn is_of_client(name: &str) -> bool {
    has(&OF_CLIENT, name)
}

fn has(names: &[&str], name: &str) -> bool {
    names.iter().any(|own| own.eq_ignore_ascii_case(name))
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
        ] {
            assert_eq!(goes_on(name, [connection.as_bytes()].into_iter()), expected, "{name} {connection}");
        }
        assert!(is_of_client("x-forwarded-for") && is_of_client("FORWARDED") && !is_of_client("Host"));
    }
}
