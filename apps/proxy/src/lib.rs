//! What the proxy appliance is made of, but for its start. Without input and output: what is proxied ([`config`], [`hosts`],
//! [`networks`]), which server is next ([`balance`]) and which is well ([`health`]), the PROXY protocol ([`proxy_protocol`]), and which
//! fields go on ([`fields`]). With it: clients' connections ([`front`]), servers' ([`backends`], [`check`]), and what goes between them
//! ([`relay`], [`pipe`]).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backends;
pub mod balance;
pub mod check;
pub mod config;
pub mod fields;
pub mod front;
pub mod health;
pub mod hosts;
pub mod keys;
pub mod metrics;
pub mod networks;
pub mod pipe;
pub mod proxy_protocol;
pub mod relay;
