//! What can go wrong between a client and its server.

use embedded_io_async::ErrorKind;

/// Why there is no response, or no more of it. The connection is of no use after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream below.
    #[error("the connection failed: {0:?}")]
    Io(ErrorKind),
    /// The connection ended where a response should have begun.
    #[error("the connection ended without a response")]
    Closed,
    /// The connection ended within the response.
    #[error("the connection ended within the response")]
    Incomplete,
    /// What came is no response, or can be read in two ways.
    #[error("the response's {0}")]
    Malformed(Malformed),
    /// A response's head of more octets than [`Limits`](crate::client::Limits)' `head_size`.
    #[error("the response's head has more than {0} octets")]
    HeadTooLarge(usize),
    /// A response of more header fields than [`Limits::header_count`](crate::client::Limits::header_count).
    #[error("the response has more than {0} header fields")]
    TooManyFields(usize),
    /// More interim responses (1xx) than [`Limits::interim`](crate::client::Limits::interim).
    #[error("more than {0} interim responses")]
    TooManyInterim(u32),
    /// A transfer coding other than chunked.
    #[error("the response has a transfer coding that is not known")]
    UnknownCoding,
    /// There is no memory for it now.
    #[error("no memory for the response")]
    NoMemory,
    /// The request's content was not as long as announced: it ended early, or would have been longer.
    #[error("the request's content is not of the length that was announced")]
    ContentLength,
    /// An operation whose turn it is not: a second request before the first one's response has ended, content that was not
    /// announced, or anything after an operation that was dropped half-way.
    #[error("the connection is not ready for that")]
    OutOfTurn,
}

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not `HTTP/1.x`, three digits, a reason.
    #[error("status line is malformed")]
    StatusLine,
    /// Not a field, a folded one, or an end of line other than CRLF.
    #[error("header fields are malformed")]
    Field,
    /// `Content-Length` that is no number or comes twice, or beside `Transfer-Encoding`; chunked twice or not last; a coding
    /// in HTTP/1.0.
    #[error("length is ambiguous")]
    Length,
    /// Not the chunked coding.
    #[error("chunks are malformed")]
    Chunk,
    /// 101 without a request for it.
    #[error("protocol is one that nobody has asked for")]
    Upgrade,
}

/// What is wrong with a request that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// No token, or `CONNECT`, for which there is no tunnel here.
    #[error("not a method that can be asked for")]
    Method,
    /// Empty, or with blanks, control characters, a fragment, or what is not ASCII.
    #[error("not a request target")]
    Target,
    /// A field's name is no token.
    #[error("not the name of a field")]
    FieldName,
    /// A field's value has control characters.
    #[error("a field's value with control characters")]
    FieldValue,
    /// A field that says how the message is framed; there are methods for these.
    #[error("a field that the connection sets itself")]
    Reserved,
}

impl From<Malformed> for Error {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(kind) => *kind,
            Self::Closed | Self::Incomplete => ErrorKind::ConnectionReset,
            Self::NoMemory => ErrorKind::OutOfMemory,
            Self::ContentLength | Self::OutOfTurn => ErrorKind::InvalidInput,
            _ => ErrorKind::InvalidData,
        }
    }
}
