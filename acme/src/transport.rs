//! One HTTPS request and its answer: what an appliance brings along.

use crate::Url;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Octets of an answer's body, at most: a transport gives no more, and an answer of more is refused.
pub const MAX_BODY: usize = 64 * 1024;

/// What is done with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// Without a body; the answer has none either.
    Head,
    /// With a body of the type [`Request::CONTENT_TYPE`].
    Post,
}

/// A request to an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is done.
    pub method: Method,
    /// With what.
    pub url: Url,
    /// Of [`Method::Post`].
    pub body: Vec<u8>,
}

impl Request {
    /// The `Content-Type` of bodies (RFC 8555 section 6.2).
    pub const CONTENT_TYPE: &str = "application/jose+json";
    /// The `User-Agent` that authorities ask for (section 6.1).
    pub const USER_AGENT: &str = concat!("fata-acme/", env!("CARGO_PKG_VERSION"));
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status, as it came: redirections are not followed.
    pub status: u16,
    /// Names and values of the fields. Those that are used are `Replay-Nonce`, `Location` and `Retry-After`.
    pub fields: Vec<(String, String)>,
    /// [`MAX_BODY`] octets at most.
    pub body: Vec<u8>,
}

impl Response {
    /// A field, by its name in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// Carries requests to an authority, over TLS with a certificate that is checked.
pub trait Transport {
    /// Why there is no answer.
    type Error: fmt::Display;

    /// Sends one request and waits for its answer, whatever its status is. It ends by itself: after a minute, say.
    fn send(&mut self, request: &Request) -> impl Future<Output = Result<Response, Self::Error>>;
}
