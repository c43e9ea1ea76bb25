//! iperf3's protocol, as server ([`server`]) and client ([`client`]).
//!
//! A control connection carries messages of one octet ([`state`]) and JSON ([`params`], [`results`]; [`control`] reads and
//! writes them); a test's streams are connections that begin with the control connection's cookie, or datagrams with numbers
//! and times ([`udp`]). [`run`] is a test while it runs. The protocol has no specification but iperf3's source
//! (<https://github.com/esnet/iperf>, `src/iperf_api.h`, version 3.12): tests hold this to the program.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod client;
pub mod control;
pub mod error;
mod hub;
pub mod options;
pub mod pace;
pub mod params;
pub mod report;
pub mod results;
pub mod run;
pub mod server;
mod signal;
pub mod state;
pub mod tally;
pub mod udp;
