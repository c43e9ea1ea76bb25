//! HTTPS: where keys come from ([`keys`]), how they are made ([`made`]), how the running pair is replaced ([`reload`]), what each
//! response says beside its content ([`fields`](mod@fields)), and what is answered over plain HTTP ([`redirect`]).

pub mod fields;
#[cfg(feature = "fat")]
mod kept;
pub mod keys;
pub mod made;
pub mod redirect;
pub mod reload;

use alloc::rc::Rc;

/// What HTTPS counts.
#[derive(Default)]
pub struct Counts {
    /// Handshakes and what became of them.
    pub stats: Rc<fata_tls::Stats>,
    /// Certificates that came later.
    pub reloads: reload::Reloads,
    /// Clients of plain HTTP, who are sent away.
    pub redirects: Rc<fata::http::Stats>,
}
