//! What is stored: octets, tables, sequences, and the types of values made of them.

pub mod db;
pub mod hash;
pub mod list;
pub mod map;
pub mod names;
pub mod object;
pub mod rope;
mod segments;
pub mod set;
pub mod sip;
pub mod text;
pub mod zset;
