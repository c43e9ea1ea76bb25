//! The server: clients, their connections, what they share.

pub mod client;
pub mod config;
mod connection;
mod flush;
pub mod hub;
pub mod run;

pub use client::{Client, Link, Session};
pub use config::Config;
pub use hub::{Core, Hub};
pub use run::{Server, listen, serve};
