//! Certificates from an authority, by ACME (RFC 8555), wired to an appliance's network and disk.
//!
//! ```no_run
//! # async fn example(network: &fata::net::Network, disk: fata::block::Disk, acceptor: fata::tls::TlsAcceptor) -> fata::Result<()> {
//! use fata::acme::{Order, Terms, Way};
//! use fata::tls::{ClientConfig, ServerConfig};
//!
//! let order = Order {
//!     directory: "https://acme.example.org/directory",
//!     names: &["www.example.org", "example.org"],
//!     contacts: &["admin@example.org"],
//!     terms: Terms::Agreed,
//!     ways: &[Way::TlsAlpn, Way::Http],
//!     roots: ClientConfig::from_webpki_roots(),
//! };
//! let keeping = order.open(network, &disk).await?;
//! // For the server on port 80 `keeping.responder.route(router)`, for that on port 443:
//! let challenges = keeping.responder.certificates();
//! let config = move |issued: &fata::acme::Issued| {
//!     Ok::<_, fata::tls::ConfigError>(
//!         ServerConfig::from_pem(&issued.chain_pem, &issued.key_pem)?.acme_challenges(challenges.clone()),
//!     )
//! };
//! if let Some(kept) = keeping.certificate() {
//!     acceptor.replace(config(kept)?)?;
//! }
//! fata::spawn(async move {
//!     let end = keeping
//!         .run(|issued| config(issued).and_then(|config| acceptor.replace(config)))
//!         .await;
//!     fata::log::error!("no more certificates: {end}");
//! })
//! .detach();
//! # Ok(())
//! # }
//! ```

mod asked;
mod disk;
mod figures;

use crate::fetch::{Client, Connector};
use crate::https::{Pair, PairError};
use crate::net::Stack;
use alloc::rc::Rc;
pub use asked::Asked;
use core::fmt;
pub use disk::{DiskError, OnDisk};
pub use fata_acme::*;
use fata_libos::block::Disk;
use fata_tls::{ClientConfig, ConfigError};
pub use figures::{Metric, last_failure, metrics};

/// What is asked of an authority.
#[derive(Debug)]
pub struct Order<'a> {
    /// The authority's directory, a URL of `https`.
    pub directory: &'a str,
    /// What the certificate is for: names and addresses.
    pub names: &'a [&'a str],
    /// Addresses of mail at which the authority warns; there may be none.
    pub contacts: &'a [&'a str],
    /// Whether its terms of service are agreed to.
    pub terms: Terms,
    /// How names are shown to be ours, the dearest first.
    pub ways: &'a [Way],
    /// Whom to trust when the authority is asked.
    pub roots: ClientConfig,
}

/// Why nothing is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// What is asked for makes no sense.
    #[error(transparent)]
    Order(#[from] Error),
    /// Nobody is trusted.
    #[error("the roots for the authority: {0}")]
    Roots(#[from] ConfigError),
    /// What was kept cannot be had.
    #[error("{0}")]
    Disk(#[from] DiskError),
}

/// What is known of an order: the certificate that was kept, and what is to be served for the authority. [`run`](Kept::run) goes on with
/// it.
pub struct Kept {
    /// Shows challenges: on port 80 by its route, on port 443 by its certificates.
    pub responder: Responder,
    /// How it goes, as long as it goes.
    pub status: Rc<Status>,
    keeping: Keeping<Client, OnDisk>,
}

impl Order<'_> {
    /// Looks at what was kept on a disk, which is for this alone (zeros at first, 256 KiB at least). Nothing is asked yet.
    pub async fn open(self, stack: &Stack, disk: &Disk) -> Result<Kept, OrderError> {
        self.open_with(Settings::default(), stack, disk).await
    }

    /// As [`open`](Self::open), for an account of which `settings` say more: an [`ExternalAccount`], that it has to be there already.
    pub async fn open_with(self, settings: Settings, stack: &Stack, disk: &Disk) -> Result<Kept, OrderError> {
        let names = Names::parse(self.names).map_err(Error::from)?;
        if let Some(name) = names.iter().find(|name| name.is_wildcard()) {
            return Err(Error::Wildcard(alloc::format!("{name}")).into());
        }
        let responder = Responder::default();
        let keeper = Keeper {
            authority: Url::new(self.directory)?,
            settings: settings.contacts(self.contacts)?.terms(self.terms),
            names,
            ways: self.ways.into(),
            responder: responder.clone(),
            transport: Client::with(Connector::new(stack).tls(self.roots)?, policy()),
            storage: OnDisk::new(disk)?,
        };
        let keeping = keeper.open().await?;
        Ok(Kept { responder, status: keeping.status(), keeping })
    }
}

impl Kept {
    /// The certificate that was kept, if it has not ended: without one a server shows one of its own.
    pub fn certificate(&self) -> Option<&Issued> {
        self.keeping.certificate()
    }

    /// Gives `show` each certificate that comes, in time before the one before ends; where it cannot be shown, that is logged and counted, and
    /// tried again later. It goes on until an error that nothing would change.
    pub async fn run<E: fmt::Display>(self, show: impl FnMut(&Issued) -> Result<(), E>) -> Error {
        self.keeping.run(show).await
    }

    /// As [`run`](Self::run), until the appliance ends; `show` has each one shown, such as by [`Shown::replace`](crate::https::Shown::replace).
    /// What becomes of it is said in the log.
    pub async fn keep(self, show: impl Fn(Pair) -> Result<(), PairError>) {
        let end = self.run(|issued| {
            show(issued.into())
                .inspect(|()| log::info!("acme: a certificate has come, and is shown from now on"))
        });
        let end = end.await;
        log::error!("acme: no more certificates: {end}");
    }
}
