//! Certificates of servers of HTTPS: read from files of a disk, made where there are none, and replaced while the server runs.
//!
//! A [`Pair`] is a certificate with its key. A [`Maker`] makes one that has signed itself. [`Shown`] is what an acceptor shows, of one
//! site or of many; a [`Keeper`] puts other pairs in their places when the disk has others, or when one that was made here ends soon.
//! With the feature `storage` pairs are files of a disk (`disk`), and with `fat` those that are made are kept there. With
//! `client-certificates` clients show certificates too, and `Clients` says whose.
//!
//! ```
//! # fn example() -> fata::Result<()> {
//! use fata::https::{Keeper, Maker, Shown, Site};
//! use fata::time::Duration;
//!
//! let maker = Maker { names: "appliance.test,10.0.0.2".into(), valid: Duration::from_secs(800 * 86_400) };
//! let shown = Shown::new(vec![maker.make()?], Default::default(), Default::default(), |config| config.alpn(&["http/1.1"]))?;
//! // Connections of clients by `shown.acceptor()`.
//! let keeper = Keeper::new(vec![Site::new(0, "", maker)], shown.clone());
//! fata::spawn(keeper.run()).detach();
//! # Ok(())
//! # }
//! ```

#[cfg_attr(not(feature = "client-certificates"), path = "no_clients.rs")]
mod clients;
#[cfg(feature = "storage")]
pub mod disk;
mod figures;
mod keeper;
#[cfg(feature = "fat")]
mod kept;
mod made;
mod pair;
mod shown;

#[cfg(feature = "client-certificates")]
pub use clients::Clients;
pub use figures::{Metric, Reloads};
pub use keeper::{Keeper, Site};
pub use made::Maker;
pub use pair::{Pair, PairError};
pub use shown::Shown;
