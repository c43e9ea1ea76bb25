//! TLS 1.3 and 1.2 for appliances, over any [`embedded_io_async`] stream: rustls without std.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod provider;
