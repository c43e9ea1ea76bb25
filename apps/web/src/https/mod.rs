//! HTTPS: what it counts, and what each response says beside its content ([`fields`](mod@fields)).

pub mod fields;

use alloc::rc::Rc;

/// What HTTPS counts.
#[derive(Default)]
pub struct Counts {
    /// Handshakes and what became of them.
    pub stats: Rc<fata_tls::Stats>,
    /// Certificates that came later.
    pub reloads: Rc<fata::https::Reloads>,
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
