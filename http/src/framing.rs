//! How a request is delimited and what becomes of its connection (RFC 9112 sections 3.2, 6 and 9).
//!
//! Every rule here that refuses a request does so because two readers of it could disagree about where it ends.

use crate::Status;
use crate::head::Head;
use crate::target::is_authority;

/// A request's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    None,
    Length(u64),
    Chunked,
}

/// What the header section says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) content: Content,
    pub(crate) keep_alive: bool,
    /// The client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
}

/// Reads the fields that frame a request. An error is the status to answer with before closing.
pub(crate) fn read(head: &Head) -> Result<Framing, Status> {
    let mut seen = Seen::default();
    for (name, value) in head.fields() {
        seen.field(name, value)?;
    }
    let http_1_1 = head.minor >= 1;
    if seen.hosts > 1 || (http_1_1 && seen.hosts == 0) {
        return Err(Status::BAD_REQUEST);
    }
    let content = seen.content(http_1_1)?;
    Ok(Framing {
        content,
        keep_alive: !seen.close && (http_1_1 || seen.keep_alive),
        expects_continue: http_1_1 && seen.expects_continue && content != Content::None,
    })
}

/// How a response is delimited.
#[cfg(feature = "client")]
pub(crate) struct OfResponse {
    /// `None`: it ends where the connection does.
    pub(crate) content: Option<Content>,
    pub(crate) keep_alive: bool,
}

/// Reads the fields that frame a response which may have content (RFC 9112 section 6.3). An error is as that of a request.
#[cfg(feature = "client")]
pub(crate) fn of_response<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    minor: u8,
) -> Result<OfResponse, Status> {
    let mut seen = Seen::default();
    // Those of requests alone, such as `Host`, mean nothing here.
    for (name, value) in fields.filter(|(name, _)| matches!(name.len(), 10 | 14 | 17)) {
        seen.field(name, value)?;
    }
    let http_1_1 = minor >= 1;
    let content = seen.content(http_1_1)?;
    let is_delimited = seen.coded || seen.length.is_some();
    Ok(OfResponse {
        content: is_delimited.then_some(content),
        keep_alive: !seen.close && (http_1_1 || seen.keep_alive),
    })
}

#[derive(Default)]
struct Seen {
    hosts: usize,
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    unknown_coding: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Seen {
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            4 if is("Host") => {
                self.hosts += 1;
                if !is_authority(value) {
                    return Err(Status::BAD_REQUEST);
                }
            }
            6 if is("Expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Status::EXPECTATION_FAILED);
                }
                self.expects_continue = true;
            }
            10 if is("Connection") => {
                for option in elements(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is("Content-Length") => {
                let repeated = self.length.replace(length(value)?).is_some();
                if repeated {
                    return Err(Status::BAD_REQUEST);
                }
            }
            17 if is("Transfer-Encoding") => self.codings(value)?,
            _ => {}
        }
        Ok(())
    }

    /// `chunked` must be the last and come once; others we do not undo.
    fn codings(&mut self, value: &[u8]) -> Result<(), Status> {
        self.coded = true;
        for coding in elements(value) {
            if self.chunked {
                return Err(Status::BAD_REQUEST);
            }
            match coding.eq_ignore_ascii_case(b"chunked") {
                true => self.chunked = true,
                false => self.unknown_coding = true,
            }
        }
        Ok(())
    }

    fn content(&self, http_1_1: bool) -> Result<Content, Status> {
        match (self.coded, self.length) {
            (false, None | Some(0)) => Ok(Content::None),
            (false, Some(n)) => Ok(Content::Length(n)),
            (true, None) if http_1_1 => match (self.unknown_coding, self.chunked) {
                (false, true) => Ok(Content::Chunked),
                (true, _) => Err(Status::NOT_IMPLEMENTED),
                (false, false) => Err(Status::BAD_REQUEST),
            },
            (true, _) => Err(Status::BAD_REQUEST),
        }
    }
}

/// Digits alone. More than can be counted is too large, whatever the limit is.
fn length(value: &[u8]) -> Result<u64, Status> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Status::BAD_REQUEST);
    }
    let add = |n: u64, d: &u8| n.checked_mul(10)?.checked_add(u64::from(d - b'0'));
    value.iter().try_fold(0, add).ok_or(Status::CONTENT_TOO_LARGE)
}

/// The elements of a list with commas between, without blanks around; empty ones are left out.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_fields(version: &str, fields: &str) -> Result<Framing, Status> {
        let mut head = Head::default();
        let text = format!("POST / HTTP/{version}\r\n{fields}\r\n");
        head.parse(text.as_bytes(), 64)?;
        read(&head)
    }

    #[test]
    fn content() {
        for (fields, expected) in [
            ("", Ok(Content::None)),
            ("Content-Length: 0\r\n", Ok(Content::None)),
            ("Content-Length: 12\r\n", Ok(Content::Length(12))),
            ("Content-Length: 18446744073709551615\r\n", Ok(Content::Length(u64::MAX))),
            ("Content-Length: 18446744073709551616\r\n", Err(Status::CONTENT_TOO_LARGE)),
            ("Content-Length:\r\n", Err(Status::BAD_REQUEST)),
            ("Content-Length: +1\r\n", Err(Status::BAD_REQUEST)),
            ("Content-Length: 1, 1\r\n", Err(Status::BAD_REQUEST)),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", Err(Status::BAD_REQUEST)),
            ("Transfer-Encoding: chunked\r\n", Ok(Content::Chunked)),
            ("transfer-encoding: , ChunkeD ,\r\n", Ok(Content::Chunked)),
            ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Err(Status::BAD_REQUEST)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(Status::BAD_REQUEST)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Status::BAD_REQUEST)),
            ("Transfer-Encoding: chunked, gzip\r\n", Err(Status::BAD_REQUEST)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Status::NOT_IMPLEMENTED)),
            ("Transfer-Encoding: identity\r\n", Err(Status::NOT_IMPLEMENTED)),
            ("Transfer-Encoding:\r\n", Err(Status::BAD_REQUEST)),
        ] {
            let fields = format!("Host: h\r\n{fields}");
            assert_eq!(read_fields("1.1", &fields).map(|f| f.content), expected, "{fields}");
        }
        assert_eq!(read_fields("1.0", "Transfer-Encoding: chunked\r\n"), Err(Status::BAD_REQUEST));
    }

    #[test]
    fn connection() {
        for (version, fields, keep_alive) in [
            ("1.1", "Host: h\r\n", true),
            ("1.1", "Host: h\r\nConnection: close\r\n", false),
            ("1.1", "Host: h\r\nConnection: x, Close\r\n", false),
            ("1.1", "Host: h\r\nConnection: keep-alive\r\nConnection: close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            assert_eq!(
                read_fields(version, fields).map(|f| f.keep_alive),
                Ok(keep_alive),
                "{version} {fields}"
            );
        }
    }

    #[test]
    fn hosts() {
        for (host, good) in [
            ("Host: example.org\r\n", true),
            ("Host: example.org:8080\r\n", true),
            ("Host: [::1]:80\r\n", true),
            ("Host:\r\n", true),
            ("", false),
            ("Host: a\r\nHost: a\r\n", false),
            ("Host: a b\r\n", false),
            ("Host: a/b\r\n", false),
            ("Host: u@a\r\n", false),
            ("Host: a:b\r\n", false),
            ("Host: :80\r\n", false),
            ("Host: [::1\r\n", false),
            ("Host: a:1:2\r\n", false),
        ] {
            assert_eq!(read_fields("1.1", host).is_ok(), good, "{host}");
        }
        assert!(read_fields("1.0", "").is_ok());
    }

    #[test]
    fn expectations() {
        let expects = |fields: &str| read_fields("1.1", fields).map(|f| f.expects_continue);
        assert_eq!(expects("Host: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n"), Ok(true));
        assert_eq!(expects("Host: h\r\nExpect: 100-continue\r\n"), Ok(false), "no content to wait for");
        assert_eq!(expects("Host: h\r\nExpect: miracles\r\n"), Err(Status::EXPECTATION_FAILED));
        let old = read_fields("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n").unwrap();
        assert!(!old.expects_continue, "HTTP/1.0 knows no interim answers");
    }
}
