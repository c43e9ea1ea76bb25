//! XenStore's messages and shared page (`io/xs_wire.h`).

use super::layout;

/// `XS_DIRECTORY`
pub const XS_DIRECTORY: u32 = 1;
/// `XS_READ`
pub const XS_READ: u32 = 2;
/// `XS_GET_PERMS`
pub const XS_GET_PERMS: u32 = 3;
/// `XS_WATCH`
pub const XS_WATCH: u32 = 4;
/// `XS_UNWATCH`
pub const XS_UNWATCH: u32 = 5;
/// `XS_TRANSACTION_START`
pub const XS_TRANSACTION_START: u32 = 6;
/// `XS_TRANSACTION_END`
pub const XS_TRANSACTION_END: u32 = 7;
/// `XS_GET_DOMAIN_PATH`
pub const XS_GET_DOMAIN_PATH: u32 = 10;
/// `XS_WRITE`
pub const XS_WRITE: u32 = 11;
/// `XS_MKDIR`
pub const XS_MKDIR: u32 = 12;
/// `XS_RM`
pub const XS_RM: u32 = 13;
/// `XS_SET_PERMS`
pub const XS_SET_PERMS: u32 = 14;
/// `XS_WATCH_EVENT`
pub const XS_WATCH_EVENT: u32 = 15;
/// `XS_ERROR`
pub const XS_ERROR: u32 = 16;
/// `XS_RESET_WATCHES`
pub const XS_RESET_WATCHES: u32 = 21;
/// `XS_DIRECTORY_PART`
pub const XS_DIRECTORY_PART: u32 = 22;

/// `struct xsd_sockmsg`: what every message starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct XsdSockmsg {
    /// `XS_*`; the Rust keyword `type` in the header.
    pub r#type: u32,
    /// The request's number, repeated in its reply.
    pub req_id: u32,
    /// The transaction, 0 for none.
    pub tx_id: u32,
    /// Octets that follow.
    pub len: u32,
}

layout!(XsdSockmsg, size 16, r#type at 0, req_id at 4, tx_id at 8, len at 12);

/// `XENSTORE_RING_SIZE`
pub const RING_SIZE: usize = 1024;
/// `XENSTORE_PAYLOAD_MAX`
pub const PAYLOAD_MAX: usize = 4096;
/// `XENSTORE_ABS_PATH_MAX`
pub const ABS_PATH_MAX: usize = 3072;
/// `XENSTORE_REL_PATH_MAX`
pub const REL_PATH_MAX: usize = 2048;

/// `struct xenstore_domain_interface`: an octet-exact picture; the page itself is touched by copies only.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct XenstoreDomainInterface {
    /// Requests.
    pub req: [u8; RING_SIZE],
    /// Replies and events of watches.
    pub rsp: [u8; RING_SIZE],
    /// Octets of `req` that the daemon has taken.
    pub req_cons: u32,
    /// Octets of `req` that the guest has put.
    pub req_prod: u32,
    /// Octets of `rsp` that the guest has taken.
    pub rsp_cons: u32,
    /// Octets of `rsp` that the daemon has put.
    pub rsp_prod: u32,
    /// Features of the daemon.
    pub server_features: u32,
    /// State of the connection.
    pub connection: u32,
    /// Why the daemon gave up on the ring.
    pub error: u32,
}

layout!(XenstoreDomainInterface, size 2076,
    req at 0, rsp at 1024, req_cons at 2048, req_prod at 2052, rsp_cons at 2056, rsp_prod at 2060,
    server_features at 2064, connection at 2068, error at 2072);
