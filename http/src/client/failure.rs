//! What can go wrong with a fetch.

use super::{Error, InvalidRequest, UrlError};

/// Why there is no response, or no more of it. `E` is what the connector says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError<E> {
    /// The URL is none that can be fetched.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// The request cannot be sent as it is.
    #[error("{0}")]
    Request(#[from] InvalidRequest),
    /// There is no connection.
    #[error("no connection: {0}")]
    Connect(E),
    /// The connection, or what came on it.
    #[error("{0}")]
    Http(Error),
    /// It took too long.
    #[error("waited for too long for {0}")]
    TimedOut(Waiting),
    /// As many connections as may be are in use, and as many requests as may be wait for one.
    #[error("too many connections are in use, and too many requests wait")]
    TooManyConnections,
    /// More redirections than [`Policy::redirects`](super::Policy::redirects).
    #[error("more than {0} redirections")]
    TooManyRedirects(usize),
    /// Redirections in a circle.
    #[error("redirected in a circle")]
    RedirectLoop,
    /// A redirection to what is no URL.
    #[error("redirected to {0}")]
    BadLocation(UrlError),
    /// A redirection from `https` to `http`.
    #[error("redirected from https to http")]
    Downgrade,
    /// More content than the limit, octets.
    #[error("content of more than {0} octets")]
    TooLarge(usize),
    /// The content is not UTF-8.
    #[error("the content is not UTF-8")]
    NotText,
    /// Who makes the request's content could not.
    #[error("the request's content could not be made whole")]
    Aborted,
}

/// What was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A connection.
    Connection,
    /// The server to take the request.
    Request,
    /// The response's head.
    Head,
    /// More of the response's content.
    Content,
    /// All of it together.
    All,
}

impl core::fmt::Display for Waiting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Connection => "a connection",
            Self::Request => "the server to take the request",
            Self::Head => "the response's head",
            Self::Content => "the response's content",
            Self::All => "all of the response",
        })
    }
}

impl<E> From<Error> for FetchError<E> {
    fn from(error: Error) -> Self {
        Self::Http(error)
    }
}
