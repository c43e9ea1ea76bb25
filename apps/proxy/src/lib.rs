//! What the proxy appliance is made of, but for its start. Without input and output: what is proxied ([`config`], [`hosts`],
//! [`networks`]), which server is next, and for whom ([`balance`], [`queue`], [`shares`]) and which is well ([`health`]), the PROXY protocol ([`proxy_protocol`]), and which
//! fields go on ([`fields`], [`request`]). With it: clients' connections ([`front`]), servers ([`backends`], [`pool`], [`kept`], [`check`]), and what
//! goes between them ([`relay`], [`exchange`], [`upload`], `answer`, [`pipe`]); for those who run it [`admin`], [`status`], [`metrics`], [`certificates`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod admin;
mod answer;
pub mod backends;
pub mod balance;
pub mod buffer;
pub mod certificates;
pub mod check;
pub mod config;
pub mod exchange;
pub mod fields;
pub mod front;
pub mod health;
pub mod hosts;
pub mod kept;
pub mod keys;
pub mod metrics;
pub mod networks;
pub mod pipe;
pub mod pool;
pub mod proxy_protocol;
pub mod queue;
pub mod relay;
pub mod request;
pub mod shares;
pub mod silence;
pub mod status;
pub mod upload;
