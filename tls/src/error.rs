//! What can go wrong on a connection.

use crate::Alert;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::ErrorKind;
use fata_libos::time::{Duration, SystemTime, UtcDateTime};

/// Why a connection has ended. Once there is one, every later call on the stream gives it again.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream below.
    #[error("the stream below failed: {0:?}")]
    Io(ErrorKind),
    /// The peer gave up.
    #[error("the peer sent the alert {0}")]
    AlertReceived(Alert),
    /// The peer broke the protocol, or has nothing in common with us. It was sent an alert.
    #[error("{0}")]
    Protocol(Violation),
    /// The peer's certificate is not one to trust. It was sent an alert.
    #[error("the peer's certificate {0}")]
    Certificate(CertificateProblem),
    /// The stream ended without `close_notify`: something may be missing (RFC 8446 section 6.1).
    #[error("the connection was cut: its end was not announced")]
    Truncated,
    /// The handshake took longer than [`Limits::handshake_time`](crate::Limits::handshake_time).
    #[error("no handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// The peer sent more before the handshake's end than [`Limits::handshake_octets`](crate::Limits::handshake_octets), or
    /// a message in more pieces than we keep.
    #[error("handshake messages of more than {0} octets")]
    TooMuch(usize),
    /// Certificates cannot be checked: the clock is not set.
    #[error("the clock says {now}, which cannot be: certificates cannot be checked", now = .0.utc())]
    Clock(SystemTime),
    /// Written after [`shutdown`](crate::TlsStream::shutdown).
    #[error("written after the end of writing")]
    Closed,
    /// There is no memory for a connection, or for a record.
    #[error("no memory for a connection or a record")]
    NoMemory,
    /// As many handshakes are in progress as there may be: [`Limits::handshakes`](crate::Limits::handshakes).
    #[error("{0} handshakes are in progress, and there may be no more")]
    TooManyHandshakes(usize),
    /// The keys of a TLS 1.2 connection have been used as often as is safe.
    #[error("the connection's keys are used up")]
    KeysExhausted,
    /// [`TlsConnector`](crate::TlsConnector) was given what is neither a host's name nor an address.
    #[error("not a name that a certificate can be for")]
    InvalidName,
}

/// What the peer did, in rustls' words.
#[derive(Clone, PartialEq)]
pub struct Violation(Box<rustls::Error>);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// None was shown.
    #[error("is missing")]
    Missing,
    /// Its time is over.
    #[error("expired at {expired}; now is {now}")]
    Expired {
        /// When.
        expired: UtcDateTime,
        /// What our clock says.
        now: UtcDateTime,
    },
    /// Its time has not begun.
    #[error("is valid from {valid} on; now is {now}")]
    NotYetValid {
        /// When.
        valid: UtcDateTime,
        /// What our clock says.
        now: UtcDateTime,
    },
    /// Nobody that we trust signed it.
    #[error("is signed by none that is trusted")]
    UnknownIssuer,
    /// It is for others.
    #[error("is for {0}")]
    WrongName(String),
    /// A revocation list has it.
    #[error("was revoked")]
    Revoked,
    /// A signature in it, or made with it, is wrong.
    #[error("has a bad signature")]
    BadSignature,
    /// It is for something else than this.
    #[error("is for another purpose")]
    WrongPurpose,
    /// Its encoding, its algorithms, or its revocation list.
    #[error("cannot be used: {0}")]
    Unusable(Violation),
}

impl CertificateProblem {
    fn new(error: rustls::Error) -> Self {
        use rustls::CertificateError as E;
        let rustls::Error::InvalidCertificate(problem) = &error else {
            return Self::Unusable(Violation(Box::new(error)));
        };
        let utc = |time: &rustls::pki_types::UnixTime| UtcDateTime::from_unix_seconds(time.as_secs());
        match problem {
            E::ExpiredContext { time, not_after } => {
                Self::Expired { expired: utc(not_after), now: utc(time) }
            }
            E::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { valid: utc(not_before), now: utc(time) }
            }
            E::UnknownIssuer => Self::UnknownIssuer,
            E::NotValidForNameContext { presented, .. } => Self::WrongName(names(presented)),
            E::Revoked => Self::Revoked,
            E::BadSignature => Self::BadSignature,
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::WrongPurpose,
            _ => Self::Unusable(Violation(Box::new(error))),
        }
    }
}

/// The names that a certificate is for: webpki gives them with their kinds around them.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        String::from(inner.trim_matches([')', '"']))
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => Self::AlertReceived(Alert(alert.into())),
            rustls::Error::NoCertificatesPresented => Self::Certificate(CertificateProblem::Missing),
            rustls::Error::InvalidCertificate(_) => Self::Certificate(CertificateProblem::new(error)),
            rustls::Error::FailedToGetCurrentTime => Self::Clock(SystemTime::recent()),
            error => Self::Protocol(Violation(Box::new(error))),
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::Io(kind)
    }
}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(kind) => *kind,
            Self::AlertReceived(_) => ErrorKind::ConnectionAborted,
            Self::Protocol(_) | Self::Certificate(_) | Self::TooMuch(_) => ErrorKind::InvalidData,
            Self::Truncated => ErrorKind::ConnectionReset,
            Self::HandshakeTimeout(_) => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::BrokenPipe,
            Self::NoMemory | Self::TooManyHandshakes(_) => ErrorKind::OutOfMemory,
            Self::InvalidName => ErrorKind::InvalidInput,
            Self::Clock(_) | Self::KeysExhausted => ErrorKind::Other,
        }
    }
}
