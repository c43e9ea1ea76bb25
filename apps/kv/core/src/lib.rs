//! A key-value store that speaks Redis's protocol.
//!
//! [`resp`] reads commands and writes answers, [`data`] is what is stored, [`store`] the data as [`commands`] see it,
//! [`server`] has the clients, [`keep`] puts what was changed in rows, for a disk. What a command does and says is Redis 7.0's
//! (<https://redis.io/docs/latest/commands/>); tests hold it to recorded answers of redis-server 7.0.15.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod commands;
pub mod data;
pub mod evict;
pub mod fault;
pub mod glob;
pub mod keep;
pub mod number;
pub mod resp;
pub mod server;
pub mod store;
