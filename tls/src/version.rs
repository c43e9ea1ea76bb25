//! Versions of the protocol.

use core::fmt;

/// A version of TLS. Older ones are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246, with the extended master secret where the peer has it (RFC 7627).
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl Version {
    pub(crate) fn new(version: rustls::ProtocolVersion) -> Option<Self> {
        match version {
            rustls::ProtocolVersion::TLSv1_2 => Some(Self::Tls12),
            rustls::ProtocolVersion::TLSv1_3 => Some(Self::Tls13),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// Of one version alone.
type One = &'static [&'static rustls::SupportedProtocolVersion];
#[cfg(feature = "tls12")]
static TLS12: One = &[&rustls::version::TLS12];
static TLS13: One = &[&rustls::version::TLS13];

/// Which versions to offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.3 and 1.2.
    #[default]
    All,
    /// TLS 1.3 alone.
    Tls13,
    /// TLS 1.2 alone.
    #[cfg(feature = "tls12")]
    Tls12,
}

impl Versions {
    pub(crate) fn list(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        match self {
            Self::All => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS13,
            #[cfg(feature = "tls12")]
            Self::Tls12 => TLS12,
        }
    }
}
