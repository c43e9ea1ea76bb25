//! A request's head, made to be sent.

use super::InvalidRequest;
use crate::octets::Class;
use alloc::vec::Vec;

/// How a request's content is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// There is none.
    #[default]
    None,
    /// So many octets.
    Length(u64),
    /// As many as come, in chunks.
    Chunked,
}

/// Fields that say how a message is framed, or what becomes of its connection.
const RESERVED: [&str; 5] = ["Connection", "Content-Length", "Expect", "Transfer-Encoding", "Upgrade"];

/// A request's method, target and fields. Nothing in it can start a field or a request of its own.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Request line and fields, each line with its end.
    lines: Vec<u8>,
    method_len: usize,
    content: Content,
    expects_continue: bool,
    closes: bool,
    upgrade: Vec<u8>,
}

impl RequestHead {
    /// A request without fields: `method` is any token but `CONNECT`, `target` a path with its query (or `*`, or an absolute
    /// URI for a proxy), as it is to be sent.
    pub fn new(method: &str, target: &str) -> Result<Self, InvalidRequest> {
        if !is_token(method) || method == "CONNECT" {
            return Err(InvalidRequest::Method);
        }
        let is_target = Class::TARGET.run(target.as_bytes()) == target.len() && !target.contains('#');
        if target.is_empty() || !is_target {
            return Err(InvalidRequest::Target);
        }
        let lines = [method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"].concat();
        Ok(Self {
            lines,
            method_len: method.len(),
            content: Content::None,
            expects_continue: false,
            closes: false,
            upgrade: Vec::new(),
        })
    }

    /// Adds a field, behind those of the same name. `Host` is the caller's to add, once.
    pub fn field(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<&mut Self, InvalidRequest> {
        let value = value.as_ref();
        if !is_token(name) {
            return Err(InvalidRequest::FieldName);
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(InvalidRequest::Reserved);
        }
        if Class::VALUE.run(value) != value.len() {
            return Err(InvalidRequest::FieldValue);
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.lines.extend_from_slice(part);
        }
        Ok(self)
    }

    /// Says what content will follow.
    pub fn content(&mut self, content: Content) -> &mut Self {
        self.content = content;
        self
    }

    /// Asks the server to say whether it wants the content (`Expect: 100-continue`): see
    /// [`ResponseReader::wait_for_continue`](super::ResponseReader::wait_for_continue). Without content it is left out.
    pub fn expect_continue(&mut self) -> &mut Self {
        self.expects_continue = true;
        self
    }

    /// Asks the server to end the connection after its response.
    pub fn close(&mut self) -> &mut Self {
        self.closes = true;
        self
    }

    /// Asks to go on with another protocol: the value of `Upgrade`, such as `websocket`.
    pub fn upgrade(&mut self, protocol: &str) -> Result<&mut Self, InvalidRequest> {
        if protocol.is_empty() || Class::VALUE.run(protocol.as_bytes()) != protocol.len() {
            return Err(InvalidRequest::FieldValue);
        }
        self.upgrade = protocol.as_bytes().to_vec();
        Ok(self)
    }

    /// The method.
    pub fn method(&self) -> &str {
        core::str::from_utf8(&self.lines[..self.method_len]).unwrap_or_default()
    }

    pub(super) fn announced(&self) -> Content {
        self.content
    }

    pub(super) fn waits_for_continue(&self) -> bool {
        self.expects_continue && self.content != Content::None
    }

    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    pub(super) fn wants_upgrade(&self) -> bool {
        !self.upgrade.is_empty()
    }

    /// Writes the head, its end included.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lines);
        match self.content {
            // Methods with which content is usual say that there is none (RFC 9110 section 8.6).
            Content::None if matches!(self.method(), "POST" | "PUT" | "PATCH") => {
                out.extend_from_slice(b"Content-Length: 0\r\n");
            }
            Content::None => {}
            Content::Length(n) => out.extend_from_slice(alloc::format!("Content-Length: {n}\r\n").as_bytes()),
            Content::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        if self.waits_for_continue() {
            out.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        if self.wants_upgrade() {
            out.extend_from_slice(b"Upgrade: ");
            out.extend_from_slice(&self.upgrade);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(match (self.closes, self.wants_upgrade()) {
            (false, false) => b"",
            (true, false) => b"Connection: close\r\n",
            (false, true) => b"Connection: upgrade\r\n",
            (true, true) => b"Connection: upgrade, close\r\n",
        });
        out.extend_from_slice(b"\r\n");
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && Class::TOKEN.run(text.as_bytes()) == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &RequestHead) -> String {
        let mut out = Vec::new();
        request.put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn heads() {
        let mut get = RequestHead::new("GET", "/a?b").unwrap();
        get.field("Host", "h").unwrap().expect_continue();
        assert_eq!(text(&get), "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut post = RequestHead::new("POST", "/").unwrap();
        assert_eq!(text(&post), "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
        post.content(Content::Length(3)).expect_continue().close();
        let expected =
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        assert_eq!(text(&post), expected);
        let mut upgrade = RequestHead::new("GET", "*").unwrap();
        upgrade.upgrade("websocket").unwrap().close().content(Content::Chunked);
        let expected = "GET * HTTP/1.1\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n";
        assert_eq!(text(&upgrade), expected);
    }

    #[test]
    fn what_cannot_be_asked() {
        for (method, target, error) in [
            ("", "/", InvalidRequest::Method),
            ("GET ", "/", InvalidRequest::Method),
            ("CONNECT", "h:1", InvalidRequest::Method),
            ("GET", "", InvalidRequest::Target),
            ("GET", "/ HTTP/1.1\r\nA: b", InvalidRequest::Target),
            ("GET", "/#a", InvalidRequest::Target),
            ("GET", "/\u{e9}", InvalidRequest::Target),
        ] {
            assert_eq!(RequestHead::new(method, target).unwrap_err(), error, "{method:?} {target:?}");
        }
        let mut request = RequestHead::new("GET", "/").unwrap();
        for (name, value, error) in [
            ("", "a", InvalidRequest::FieldName),
            ("a b", "a", InvalidRequest::FieldName),
            ("a\r\nb", "a", InvalidRequest::FieldName),
            ("a", "b\r\nc: d", InvalidRequest::FieldValue),
            ("a", "b\nc: d", InvalidRequest::FieldValue),
            ("a", "\0", InvalidRequest::FieldValue),
            ("content-length", "1", InvalidRequest::Reserved),
            ("Transfer-Encoding", "chunked", InvalidRequest::Reserved),
            ("connection", "close", InvalidRequest::Reserved),
            ("UPGRADE", "h2c", InvalidRequest::Reserved),
            ("Expect", "100-continue", InvalidRequest::Reserved),
        ] {
            assert_eq!(request.field(name, value).unwrap_err(), error, "{name:?} {value:?}");
        }
        assert!(request.upgrade("a\r\nb").is_err());
        assert_eq!(text(&request), "GET / HTTP/1.1\r\n\r\n");
    }
}
