//! HTTPS: certificate and key ([`keys`]), of a disk ([`disk`]) or made here ([`made`]), how the running pair is replaced ([`reload`]), what each
//! response says beside its content ([`fields`](mod@fields)), and what is answered over plain HTTP ([`redirect`]).

#[cfg_attr(not(feature = "disk"), path = "no_disk.rs")]
pub mod disk;
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
    /// The certificate of an authority.
    #[cfg(feature = "acme")]
    acme: core::cell::OnceCell<Order>,
}

/// The certificate of an authority.
#[cfg(feature = "acme")]
pub struct Order {
    /// What it is for.
    pub names: alloc::string::String,
    /// How it goes.
    pub status: Rc<fata::acme::Status>,
}

#[cfg(feature = "acme")]
impl Counts {
    /// Tells of the certificate of an authority. The first counts.
    pub fn set_acme(&self, order: Order) {
        let _ = self.acme.set(order);
    }

    /// The certificate of an authority, where one is wanted.
    pub fn acme(&self) -> Option<&Order> {
        self.acme.get()
    }
}
