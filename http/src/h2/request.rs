//! Requests out of header fields (RFC 9113 sections 8.2 and 8.3).

use crate::framing::{self, Content};
use crate::head::{Head, Span, Takes};
use crate::octets::Class;
use crate::target::is_authority;
use crate::{Limits, Method, Status, memory};
use alloc::vec::Vec;

/// What a field counts beside its octets (RFC 9113 section 6.5.2).
const OVERHEAD: usize = 32;

/// What joins the crumbs of a cookie (section 8.2.3).
const BETWEEN_CRUMBS: &[u8] = b"; ";

/// Fields that speak of one connection (section 8.2.2).
const OF_CONNECTION: [&[u8]; 5] =
    [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"];

/// Whether a field, in any case, speaks of one connection.
pub(crate) fn is_of_connection(name: &[u8]) -> bool {
    OF_CONNECTION.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What a block of header fields is.
pub(crate) enum Verdict {
    /// A request that a handler may answer.
    Request(Request),
    /// One that is answered by its status alone.
    Answer { status: Status, is_head: bool },
    /// None: a stream error of type PROTOCOL_ERROR.
    Malformed,
}

/// A request without its content.
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) method: Method,
    /// Octets of content, if the client has said.
    pub(crate) length: Option<u64>,
    /// The client waits for an interim answer.
    pub(crate) expects_continue: bool,
}

/// Takes the fields of a block one by one.
pub(crate) struct Builder<'l> {
    limits: &'l Limits,
    head: Head,
    kind: Block,
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    /// Cookies, which may come in crumbs (section 8.2.3).
    cookie: Option<Vec<u8>>,
    size: usize,
    count: usize,
    is_malformed: bool,
    refused: Option<Status>,
    pub(crate) takes: Takes,
}

/// Where the fields stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// Before the content, still among the pseudo-header fields.
    Head,
    /// Behind those.
    Fields,
    /// Behind the content: read, checked and forgotten.
    Trailers,
}

impl<'l> Builder<'l> {
    pub(crate) fn new(limits: &'l Limits, kind: Block) -> Self {
        Self {
            limits,
            head: Head::default(),
            kind,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            cookie: None,
            size: 0,
            count: 0,
            is_malformed: false,
            refused: None,
            takes: Takes::Own,
        }
    }

    /// Takes a field. What is above the limits is counted and not looked at: an octet of a block can stand for thousands.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.count(name, value);
        if self.is_malformed || self.is_above_limits() {
            return;
        }
        let taken = match name.strip_prefix(b":") {
            _ if !is_value(value) => None,
            Some(pseudo) => self.pseudo(pseudo, value),
            None => self.regular(name, value),
        };
        self.is_malformed = taken.is_none();
    }

    /// Octets of fields above the limit of a head.
    pub(crate) fn excess(&self) -> usize {
        self.size.saturating_sub(self.limits.head_size())
    }

    /// All crumbs of a cookie are one field.
    fn count(&mut self, name: &[u8], value: &[u8]) {
        let is_crumb = name == b"cookie" && self.cookie.is_some();
        let octets = if is_crumb { BETWEEN_CRUMBS.len() } else { name.len() + OVERHEAD };
        self.size = self.size.saturating_add(octets + value.len());
        self.count += usize::from(!is_crumb && !name.starts_with(b":"));
    }

    fn is_above_limits(&mut self) -> bool {
        let most = self.limits.header_count.min(crate::limits::MAX_HEADERS);
        let is_above = self.excess() > 0 || self.count > most;
        if is_above {
            self.refused = Some(Status::HEADER_FIELDS_TOO_LARGE);
        }
        is_above
    }

    /// Says what the fields were, when all have been taken.
    pub(crate) fn finish(mut self, ends_stream: EndStream) -> Verdict {
        let is_head = self.method.is_some_and(|m| self.head.octets(m) == b"HEAD");
        if self.is_malformed {
            return Verdict::Malformed;
        }
        let answer = |status| Verdict::Answer { status, is_head };
        if let Some(status) = self.refused {
            return answer(status);
        }
        if self.kind == Block::Trailers {
            return answer(Status::OK);
        }
        match self.request(ends_stream) {
            Ok(request) => Verdict::Request(request),
            Err(Some(status)) => answer(status),
            Err(None) => Verdict::Malformed,
        }
    }

    /// `None`: malformed.
    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        if self.kind != Block::Head {
            return None;
        }
        let own = self.keep(value);
        let field = match name {
            b"method" => &mut self.method,
            b"scheme" => &mut self.scheme,
            b"authority" => &mut self.authority,
            b"path" => &mut self.path,
            _ => return None,
        };
        field.replace(own).is_none().then_some(())
    }

    fn regular(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let is_name = |b: &u8| Class::TOKEN.has(*b) && !b.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(is_name) || is_of_connection(name) {
            return None;
        }
        if name == b"te" && value != b"trailers" {
            return None;
        }
        if self.kind == Block::Head {
            self.kind = Block::Fields;
        }
        match name {
            b"cookie" => self.add_crumb(value),
            _ => self.put(name, value),
        }
        Some(())
    }

    fn add_crumb(&mut self, value: &[u8]) {
        let is_first = self.cookie.is_none();
        let cookie = self.cookie.get_or_insert_default();
        if !memory::reserve(cookie, BETWEEN_CRUMBS.len() + value.len()) {
            self.refused = Some(Status::SERVICE_UNAVAILABLE);
            return;
        }
        if !is_first {
            cookie.extend_from_slice(BETWEEN_CRUMBS);
        }
        cookie.extend_from_slice(value);
    }

    fn put(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.keep(name), self.keep(value));
        if self.refused.is_none() && self.kind != Block::Trailers {
            self.push_field(name, value);
        }
    }

    fn push_field(&mut self, name: Span, value: Span) {
        if !self.head.push_field(name, value) {
            self.refused = Some(Status::SERVICE_UNAVAILABLE);
        }
    }

    /// Keeps a copy among the head's octets, unless it is not to be answered anyway.
    fn keep(&mut self, octets: &[u8]) -> Span {
        if self.refused.is_some() || self.kind == Block::Trailers {
            return Span::default();
        }
        self.head.append(octets).unwrap_or_else(|| {
            self.refused = Some(Status::SERVICE_UNAVAILABLE);
            Span::default()
        })
    }

    /// An error is the status to answer with, `None` for what is malformed.
    fn request(&mut self, ends_stream: EndStream) -> Result<Request, Option<Status>> {
        let method = self.method.ok_or(None)?;
        if Class::TOKEN.run(self.head.octets(method)) < self.head.octets(method).len() {
            return Err(None);
        }
        if self.head.octets(method) == b"CONNECT" {
            let is_right = self.scheme.is_none() && self.path.is_none() && self.authority.is_some();
            return Err(is_right.then_some(Status::NOT_IMPLEMENTED));
        }
        self.scheme.ok_or(None)?;
        self.add_host()?;
        self.add_cookie();
        if let Some(status) = self.refused {
            return Err(Some(status));
        }
        self.set_target(method)?;
        let mut head = core::mem::take(&mut self.head);
        head.minor = 1;
        let framing =
            framing::read(&head).map_err(|status| (status != Status::BAD_REQUEST).then_some(status))?;
        let length = match framing.content {
            Content::Length(n) => Some(n),
            _ if ends_stream == EndStream::Yes || head.field("content-length").is_some() => Some(0),
            _ => None,
        };
        if ends_stream == EndStream::Yes && length != Some(0) {
            return Err(None);
        }
        if length.is_some_and(|n| n > self.limits.body_size) {
            return Err(Some(Status::CONTENT_TOO_LARGE));
        }
        let method = head.take(self.takes).map_err(Some)?;
        let expects_continue = length != Some(0) && head.field("expect").is_some();
        Ok(Request { head, method, length, expects_continue })
    }

    /// What is served as HTTP/1.1 has a `Host` (section 8.3.1).
    fn add_host(&mut self) -> Result<(), Option<Status>> {
        let Some(authority) = self.authority else {
            return if self.head.field("host").is_some() { Ok(()) } else { Err(Some(Status::BAD_REQUEST)) };
        };
        if !is_authority(self.head.octets(authority)) {
            return Err(None);
        }
        match self.head.field("host") {
            Some(host) if host.eq_ignore_ascii_case(self.head.octets(authority)) => Ok(()),
            Some(_) => Err(None),
            None => {
                let name = self.keep(b"host");
                self.push_field(name, authority);
                Ok(())
            }
        }
    }

    fn add_cookie(&mut self) {
        if let Some(cookie) = self.cookie.take() {
            self.put(b"cookie", &cookie);
        }
    }

    fn set_target(&mut self, method: Span) -> Result<(), Option<Status>> {
        let path = self.path.ok_or(None)?;
        let text = self.head.octets(path);
        let is_asterisk = text == b"*" && self.head.octets(method) == b"OPTIONS";
        if !(text.starts_with(b"/") || is_asterisk) || Class::TARGET.run(text) < text.len() {
            return Err(None);
        }
        self.head.set_request(method, path).map_err(Some)
    }
}

/// Whether a frame says that no more comes on its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndStream {
    Yes,
    No,
}

/// Without control characters, and without blanks around it (section 8.2.1).
fn is_value(value: &[u8]) -> bool {
    let is_blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    Class::VALUE.run(value) == value.len() && !is_blank(value.first()) && !is_blank(value.last())
}
