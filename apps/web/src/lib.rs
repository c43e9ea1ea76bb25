//! What the web server appliance is made of, but for its start: the content of the image ([`site`]), the choice of a
//! variant ([`encoding`]), the pages that show its state ([`state`], [`metrics`], [`status`]); with the feature `tls` what
//! HTTPS takes (`https`).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod encoding;
#[cfg(feature = "tls")]
pub mod https;
pub mod metrics;
pub mod path;
pub mod routes;
pub mod site;
pub mod state;
pub mod status;

/// The content of this image, which `build/main.rs` has put there.
pub mod content {
    // A site may have no files at all.
    #[allow(unused_imports)]
    use crate::site::{File, Site, Target, Variant};
    include!(concat!(env!("OUT_DIR"), "/content.rs"));
}

pub use routes::router;
