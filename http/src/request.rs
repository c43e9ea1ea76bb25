//! What a handler sees of a request.

use crate::body::{BodyError, Received};
use crate::conditional::{self, Precondition, Validators};
use crate::head::Head;
use crate::range::{self, Part};
use crate::router;
use crate::target::{self, Path};
use crate::{Early, Method, Peer};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

/// By which version of HTTP a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// What a request asks for of a content: see [`Request::wanted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// These octets: the answer is 206 with `Content-Range`.
    Part(Range<u64>),
    /// None that there are: the answer is 416 with `Content-Range`.
    Nothing,
}

/// A request, and the way to read its content.
///
/// Its path has been checked: it starts with `/`, its percent-escapes are whole, and they decode to UTF-8 without NUL. Dot
/// segments are left as they came.
pub struct Request<'a> {
    pub(crate) head: &'a Head,
    pub(crate) body: Received<'a>,
    pub(crate) method: Method,
    pub(crate) path: Path<'a>,
    pub(crate) pattern: &'static str,
    pub(crate) peer: &'a Peer,
}

impl<'a> Request<'a> {
    /// The method. A route for GET is asked for HEAD as well; the content is then left away by the server.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method's name as it was sent: also of [`Method::Other`].
    pub fn method_name(&self) -> &'a str {
        self.head.text(self.head.method_name)
    }

    /// The version of HTTP that it has come by.
    pub fn version(&self) -> Version {
        match self.body {
            Received::Http1(_) if self.head.minor == 0 => Version::Http10,
            Received::Http1(_) => Version::Http11,
            #[cfg(feature = "h2")]
            Received::Http2(_) => Version::Http2,
        }
    }

    /// The host that the request is for, perhaps with a port: of its target, where that has one, else of `Host` (RFC 9112 section 3.2.2).
    pub fn authority(&self) -> Option<&'a [u8]> {
        match self.head.target.authority {
            Some(authority) => Some(self.head.text(authority).as_bytes()),
            None => self.head.field("host"),
        }
    }

    /// The path as it was sent, percent-encoded: `/a%20b`.
    pub fn path(&self) -> &'a str {
        self.path.text()
    }

    /// The path's octets where nothing in it is percent-encoded: for a look into a table, which costs less by octets.
    pub fn plain_path(&self) -> Option<&'a [u8]> {
        (!self.path.has_escapes).then_some(self.path.octets)
    }

    /// The decoded value of a `{name}` or `{*name}` of the route's pattern. A `%2F` within a segment is decoded too, so
    /// the value of one segment may contain `/`.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        router::param(self.pattern, self.path(), name).map(|text| target::decode(text, false))
    }

    /// What stands after `?`, as it was sent.
    pub fn query(&self) -> Option<&'a str> {
        self.head.target.query.map(|q| self.head.text(q))
    }

    /// The first value of a name in the query, as a form encodes it: `?name=value&...`.
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (target::decode(key, true) == name).then(|| target::decode(value, true))
        })
    }

    /// The first header field of that name, in any case. Values are octets; most are ASCII, none has control characters.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.head.field(name)
    }

    /// The values of all header fields of that name, in any case.
    pub fn header_values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.head.fields_of(name)
    }

    /// All header fields in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.head.fields().map(|(name, value)| (core::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// What a GET asks for of content of `len` octets that the handler makes while it is sent (RFC 9110 section 14), in this state: of content
    /// that is in memory the server answers ranges by itself. Several ranges, and one of another state (`If-Range`), are answered with the whole,
    /// and so is what a condition of the request refuses: the server says that then.
    pub fn wanted(&self, current: &Validators, len: u64) -> Wanted {
        let Ok(length) = usize::try_from(len) else { return Wanted::Whole };
        let is_read = self.method == Method::Get;
        let goes_on =
            || conditional::evaluate(self.method, self.head, Some(current)) == Precondition::Proceed;
        match self.head.field("Range") {
            Some(range) if is_read && conditional::if_range(self.head, current) && goes_on() => {
                match range::parse(range, length) {
                    Part::Whole => Wanted::Whole,
                    Part::Octets(start, end) => Wanted::Part(start as u64..end as u64),
                    Part::Unsatisfiable => Wanted::Nothing,
                }
            }
            _ => Wanted::Whole,
        }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer.address()
    }

    /// What the listener has said of the connection ([`Peer::with`]).
    pub fn about<T: 'static>(&self) -> Option<&'a T> {
        self.peer.about()?.downcast_ref()
    }

    /// Octets of content still to come, where the client has said.
    pub fn content_length(&self) -> Option<u64> {
        self.body.known_rest()
    }

    /// Waits until some of the content is there, or its end: for who would rather not begin before. A client that waits to be asked for it
    /// (RFC 9110 section 10.1.1) is asked.
    pub async fn wait_for_content(&mut self) -> Result<(), BodyError> {
        self.body.wait().await
    }

    /// Where interim answers go.
    pub fn early(&self) -> Early<'a> {
        Early { to: self.body, version: self.version() }
    }

    /// Reads content into `buffer`; 0 at the end. After an error the connection is closed behind the response.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BodyError> {
        self.body.read(buffer).await
    }

    /// Reads all the content that is left, which may be at most `limit` octets.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, BodyError> {
        self.body.read_to_end(limit).await
    }

    /// What the request's conditions (`If-Match` and the like) say about a resource whose state is `current`, `None` if it
    /// does not exist. For handlers that change something; answers to GET are checked by the server itself.
    pub fn precondition(&self, current: Option<&Validators>) -> Precondition {
        conditional::evaluate(self.method, self.head, current)
    }
}

impl embedded_io_async::ErrorType for Request<'_> {
    type Error = BodyError;
}

impl embedded_io_async::Read for Request<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BodyError> {
        self.body.read(buffer).await
    }
}
