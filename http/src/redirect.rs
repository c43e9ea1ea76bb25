//! Plain HTTP: all clients are sent to HTTPS.

use crate::{Request, Response, Router, Status};
use alloc::format;

/// The port that HTTPS has where nothing else is said.
const USUAL: u16 = 443;

impl Router {
    /// Sends all clients of plain HTTP to HTTPS on that port of the same host, by 308 (RFC 9110 section 15.4.9).
    pub fn redirect_to_https(port: u16) -> Self {
        Self::new().fallback(async move |request: Request<'_>| redirect(&request, port))
    }
}

fn redirect(request: &Request<'_>, port: u16) -> Response {
    let host = request.authority().and_then(|host| core::str::from_utf8(host).ok()).and_then(host_of);
    let Some(host) = host else { return Response::error(Status::BAD_REQUEST) };
    let (path, query) = (request.path(), request.query().unwrap_or_default());
    let mark = if query.is_empty() { "" } else { "?" };
    let location = match port {
        USUAL => format!("https://{host}{path}{mark}{query}"),
        _ => format!("https://{host}:{port}{path}{mark}{query}"),
    };
    // The method stays: a form that was sent in the open is at least not sent as another request.
    Response::redirect(Status::PERMANENT_REDIRECT, &location)
}

/// The host of an authority, without its port; the square brackets of an address of IPv6 stay.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    authority.get(..end).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_ports() {
        for (authority, host) in [
            ("example.org", Some("example.org")),
            ("example.org:80", Some("example.org")),
            ("10.0.0.2:8080", Some("10.0.0.2")),
            ("[2001:db8::2]:80", Some("[2001:db8::2]")),
            ("[2001:db8::2]", Some("[2001:db8::2]")),
            ("[2001:db8::2", None),
            (":80", None),
            ("", None),
        ] {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }
}
