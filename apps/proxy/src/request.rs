//! A request as it goes to a server: whose fields are believed, and what is said of the client (RFC 9110 section 7.6).

use crate::fields;
use crate::front::About;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use fata::http::{Request, Version};
use fata_http::client::{Content, InvalidRequest, RequestHead};

/// What is sent, and what is to be known of it. All of it is found out before anything is waited for: what is known of a request's content
/// changes while it comes.
pub struct Outgoing {
    /// Request line and fields.
    pub head: RequestHead,
    /// Whether content follows.
    pub has_content: bool,
    /// Whether the client waits for the server to ask for the content.
    pub expects_continue: bool,
    /// Whether it may be sent twice (RFC 9110 section 9.2.2), and can be.
    pub is_repeatable: bool,
    /// The client does not wait for content.
    pub is_head: bool,
    /// The protocols that the client would go on with.
    pub protocols: String,
}

/// Makes it; `own_name` is what is added to `Via`.
pub fn outgoing(
    request: &Request<'_>,
    about: &About,
    is_trusted: bool,
    own_name: &str,
) -> Result<Outgoing, InvalidRequest> {
    let target = match request.query() {
        Some(query) => format!("{}?{query}", request.path()),
        None => request.path().to_string(),
    };
    let mut head = RequestHead::new(request.method_name(), &target)?;
    let authority = request.authority().unwrap_or_default();
    head.field("Host", authority)?;
    for (name, value) in request.headers() {
        // Who is trusted may pass on what is not: with `_` it is for programs what it is for us with `-`.
        let may_say = !fields::is_of_client(name) || is_trusted && !name.contains('_');
        let may_say = may_say && !fields::is_of_certificate(name);
        if !is_ours(name) && may_say && fields::goes_on(name, request.header_values("Connection")) {
            head.field(name, value)?;
        }
    }
    say_whose(&mut head, request, about, is_trusted)?;
    let version = match request.version() {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2.0",
    };
    let via = joined(all(request.header_values("Via")), &format!("{version} {own_name}"));
    head.field("Via", via)?;
    if let Some(left) = forwards_left(request).filter(|_| request.method_name() == "OPTIONS") {
        head.field("Max-Forwards", left.saturating_sub(1).to_string())?;
    } else if let Some(left) = request.header("Max-Forwards") {
        head.field("Max-Forwards", left)?;
    }
    let content = match request.content_length() {
        Some(0) => Content::None,
        Some(length) => Content::Length(length),
        None => Content::Chunked,
    };
    let has_content = content != Content::None;
    head.content(content);
    // One of HTTP/1.0 knows no interim answers.
    let may_expect = has_content && request.version() != Version::Http10;
    let expects_continue = may_expect && request.header("Expect").is_some();
    if expects_continue {
        head.expect_continue();
    }
    let protocols = protocols(request, has_content);
    if !protocols.is_empty() {
        head.upgrade(&protocols)?;
    }
    let is_idempotent = matches!(request.method_name(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
    Ok(Outgoing {
        head,
        has_content,
        expects_continue,
        is_repeatable: is_idempotent && !has_content,
        is_head: request.method_name() == "HEAD",
        protocols,
    })
}

/// Fields that are written anew.
fn is_ours(name: &str) -> bool {
    ["Host", "Via", "X-Forwarded-For", "Forwarded", "Max-Forwards"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

/// Says whose request it is, and how it has come.
fn say_whose(
    head: &mut RequestHead,
    request: &Request<'_>,
    about: &About,
    is_trusted: bool,
) -> Result<(), InvalidRequest> {
    let authority = request.authority().unwrap_or_default();
    let source = about.source().ip().to_canonical();
    let scheme = if about.is_tls { "https" } else { "http" };
    let before = |name| all(request.header_values(name).filter(|_| is_trusted));
    head.field("X-Forwarded-For", joined(before("X-Forwarded-For"), &source.to_string()))?;
    if !is_trusted || request.header("X-Forwarded-Proto").is_none() {
        head.field("X-Forwarded-Proto", scheme)?;
    }
    if !authority.is_empty() && (!is_trusted || request.header("X-Forwarded-Host").is_none()) {
        head.field("X-Forwarded-Host", authority)?;
    }
    // RFC 9440 section 2.2.
    if let Some(certificate) = about.client_certificate() {
        head.field("Client-Cert", certificate)?;
    }
    // Who begins with RFC 7239 finds it continued.
    let forwarded = before("Forwarded");
    if !forwarded.is_empty() {
        head.field("Forwarded", joined(forwarded, &format!("for={};proto={scheme}", node(source))))?;
    }
    Ok(())
}

/// An address as RFC 7239 section 6 writes it.
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

/// The values of a list in one (RFC 9110 section 5.3).
pub fn all<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<u8> {
    values.filter(|value| !value.is_empty()).collect::<Vec<_>>().join(&b", "[..])
}

/// With one element more.
pub fn joined(mut before: Vec<u8>, own: &str) -> Vec<u8> {
    if !before.is_empty() {
        before.extend_from_slice(b", ");
    }
    before.extend_from_slice(own.as_bytes());
    before
}

/// How often a request may still be passed on, where it says so (RFC 9110 section 7.6.2).
fn forwards_left(request: &Request<'_>) -> Option<u32> {
    core::str::from_utf8(request.header("Max-Forwards")?).ok()?.parse().ok()
}

/// Whether it says that it is passed on no further.
pub fn is_last(request: &Request<'_>) -> bool {
    forwards_left(request) == Some(0)
}

/// The protocols that a client would go on with: with GET of HTTP/1.1, without content (RFC 9110 section 7.8).
fn protocols(request: &Request<'_>, has_content: bool) -> String {
    let is_upgrade = |option: &[u8]| option.eq_ignore_ascii_case(b"upgrade");
    let is_asked = request.method_name() == "GET"
        && request.version() == Version::Http11
        && !has_content
        && request.header_values("Connection").any(|value| fields::elements(value).any(is_upgrade));
    match is_asked {
        true => fields::protocols(request.header_values("Upgrade")),
        false => String::new(),
    }
}
