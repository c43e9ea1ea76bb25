//! What can go wrong with XenStore.

use super::wire::WireFault;
use crate::byte_ring::IndexFault;
use crate::text::OneLine;
use alloc::boxed::Box;
use alloc::string::String;

macro_rules! errno {
    ($($name:ident),+) => {
        /// An error that the daemon names (`io/xs_wire.h`: `xsd_errors`).
        #[allow(missing_docs, clippy::upper_case_acronyms)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Errno {
            $($name,)+
            /// A name that the header does not list.
            Unknown,
        }

        impl Errno {
            /// From its name.
            pub fn from_name(name: &[u8]) -> Self {
                let known = [$((stringify!($name), Self::$name)),+];
                let found = known.iter().find(|(known, _)| known.as_bytes() == name);
                found.map_or(Self::Unknown, |(_, errno)| *errno)
            }
        }
    };
}

errno!(
    EINVAL, EACCES, EEXIST, EISDIR, ENOENT, ENOMEM, ENOSPC, EIO, ENOTEMPTY, ENOSYS, EROFS, EBUSY, EAGAIN,
    EISCONN, E2BIG, EPERM
);

/// The connection itself is unusable: the daemon, or the page, does what it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// An index in the page.
    #[error(transparent)]
    Index(#[from] IndexFault),
    /// A message.
    #[error(transparent)]
    Wire(#[from] WireFault),
    /// A reply to nothing that was asked.
    #[error("reply of type {kind} to request {id}, which is not in flight")]
    UnknownRequest {
        /// The request's number.
        id: u32,
        /// The reply's type, `XS_*`.
        kind: u32,
    },
    /// A reply of another type than its request.
    #[error("request {id} of type {expected} was answered with type {seen}")]
    OtherType {
        /// The request's number.
        id: u32,
        /// The request's type.
        expected: u32,
        /// The reply's type.
        seen: u32,
    },
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The daemon refused it.
    #[error("XenStore answered {0:?}")]
    Refused(Errno),
    /// The connection is unusable, for this request and all later ones.
    #[error("XenStore is broken: {0}")]
    Broken(#[from] StoreFault),
    /// The request does not fit a message.
    #[error("XenStore request of {len} octets, of which {limit} fit")]
    TooLong {
        /// Octets of the payload.
        len: usize,
        /// Octets that fit.
        limit: usize,
    },
    /// The path is empty, too long, or has a NUL in it.
    #[error("path of {len} octets is none")]
    BadPath {
        /// Its length.
        len: usize,
    },
    /// A key holds something else than it should.
    #[error("{0}")]
    BadValue(Box<BadValue>),
}

/// What a key holds, and should not. In a box, as errors are handed up through many levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = \"{}\" is no {expected}", OneLine(.value))]
pub struct BadValue {
    /// The key.
    pub key: String,
    /// What it holds.
    pub value: String,
    /// What it should hold.
    pub expected: &'static str,
}

impl StoreError {
    /// That a key holds something else than it should.
    #[inline(never)]
    pub(crate) fn bad_value(key: String, value: String, expected: &'static str) -> Self {
        Self::BadValue(Box::new(BadValue { key, value, expected }))
    }

    /// Whether the key or directory does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused(Errno::ENOENT))
    }
}
