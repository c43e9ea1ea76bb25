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

/// A block that is not one: a connection error of type COMPRESSION_ERROR, since nothing behind it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block of header fields cannot be decoded")]
pub(crate) struct Malformed;
