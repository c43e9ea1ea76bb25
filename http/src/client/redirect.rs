//! What a redirection changes (RFC 9110 section 15.4).

use super::Url;
use crate::Status;

/// Whether a status leads elsewhere, together with `Location`.
pub(super) fn is_redirect(status: Status) -> bool {
    matches!(status.code(), 301 | 302 | 303 | 307 | 308)
}

/// How the next request differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// It becomes a GET without content.
    pub(super) to_get: bool,
    /// It goes to another origin, which must not see what is for the first.
    pub(super) is_other_origin: bool,
    /// From TLS to none.
    pub(super) is_downgrade: bool,
}

/// From `from` to `to`, by a status that [is one](is_redirect) for that.
pub(super) fn change(status: Status, method: &str, from: &Url, to: &Url) -> Change {
    use super::url::Scheme;
    let to_get = match status.code() {
        // As everybody does it, which the RFC allows.
        301 | 302 => method == "POST",
        303 => method != "GET" && method != "HEAD",
        _ => false,
    };
    let (from, to) = (from.origin(), to.origin());
    let is_downgrade = (from.scheme(), to.scheme()) == (Scheme::Https, Scheme::Http);
    Change { to_get, is_other_origin: from != to, is_downgrade }
}

/// Whether a field is for the first origin alone.
pub(super) fn is_credential(name: &str) -> bool {
    ["Authorization", "Cookie", "Host", "Proxy-Authorization"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

/// Whether a field says something of content that is gone.
pub(super) fn is_of_content(name: &str) -> bool {
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("Content-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        let url: Url = "http://h/".parse().unwrap();
        for (code, method, to_get) in [
            (301, "GET", false),
            (301, "HEAD", false),
            (301, "POST", true),
            (301, "PUT", false),
            (302, "POST", true),
            (302, "DELETE", false),
            (303, "GET", false),
            (303, "HEAD", false),
            (303, "POST", true),
            (303, "PUT", true),
            (303, "DELETE", true),
            (307, "POST", false),
            (308, "POST", false),
        ] {
            let status = Status::new(code).unwrap();
            assert!(is_redirect(status));
            assert_eq!(change(status, method, &url, &url).to_get, to_get, "{code} {method}");
        }
        for code in [200, 300, 304, 305, 306, 309, 400] {
            assert!(!is_redirect(Status::new(code).unwrap()), "{code}");
        }
    }

    #[test]
    fn origins() {
        for (from, to, is_other_origin, is_downgrade) in [
            ("http://h/a", "http://h/b", false, false),
            ("http://h/", "http://h:80/", false, false),
            ("http://h/", "http://H/", false, false),
            ("http://h/", "http://h:81/", true, false),
            ("http://h/", "https://h/", true, false),
            ("https://h/", "http://h/", true, true),
            ("https://h/", "http://h:443/", true, true),
            ("http://h/", "http://i.h/", true, false),
        ] {
            let changed = change(Status::FOUND, "GET", &from.parse().unwrap(), &to.parse().unwrap());
            assert_eq!(changed, Change { to_get: false, is_other_origin, is_downgrade }, "{from} {to}");
        }
    }

    #[test]
    fn fields() {
        assert!(is_credential("cookie") && is_credential("AUTHORIZATION") && !is_credential("Accept"));
        assert!(is_of_content("content-type") && !is_of_content("Content") && !is_of_content("Context-Type"));
    }
}
