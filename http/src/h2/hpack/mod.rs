//! Header compression (RFC 7541).
//!
//! The [`Decoder`] keeps the table that the client fills, at most [`TABLE_SIZE`] octets of it. The [`Encoder`] keeps none: a
//! field is an entry of the static table, or a literal.

mod decoder;
mod dynamic;
mod encoder;
mod huffman;
mod integer;
mod statics;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;

/// The size of the client's dynamic table, octets as the RFC counts them: what a client may assume without being told.
pub(crate) const TABLE_SIZE: usize = 4096;

/// Why a block is not decoded to its end. It ends the connection, since nothing behind it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is none: a connection error of type COMPRESSION_ERROR.
    #[error("a block of header fields cannot be decoded")]
    Malformed,
    /// It needs more memory than there is.
    #[error("no memory for a block of header fields")]
    NoMemory,
}
