//! Grants: letting another domain read or write pages of this one (`grant_table.h`, version 1 of the table).
//!
//! [`GrantTable`] hands out entries; [`GrantedPages`] are pages with their grants as one value, whose drop takes the access
//! back; [`Lent`] are the grants of pages that are somebody else's before and afterwards. What a peer still holds then is parked: neither the entry nor the page is used again before the peer has let go.

mod lent;
mod pages;
mod parked;
mod table;
#[cfg(test)]
mod tests;

pub use lent::{Lent, Owner};
pub use pages::GrantedPages;
pub use table::{Access, GrantCounts, GrantTable};

use crate::hypervisor::HvError;
use crate::types::{GrantRef, Mfn};

/// Why access was not granted, or not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The table has no free entry and does not grow.
    #[error("all {entries} grants are in use: {why}")]
    Full {
        /// Entries of the table.
        entries: u32,
        /// Why it does not grow.
        why: HvError,
    },
    /// An entry has 32 bits for the frame.
    #[error("frame {frame} does not fit a grant")]
    FrameTooHigh {
        /// The frame.
        frame: Mfn,
    },
    /// The peer has the page mapped, or copies from or to it now.
    #[error("grant {reference} is in use by the peer (flags {flags:#x})")]
    InUse {
        /// The grant.
        reference: GrantRef,
        /// What the entry says.
        flags: u16,
    },
    /// The entry grants nothing.
    #[error("grant {reference} does not exist")]
    NotGranted {
        /// The grant.
        reference: GrantRef,
    },
    /// The guest has no memory left.
    #[error("no memory for {pages} pages to grant")]
    NoMemory {
        /// Pages wanted.
        pages: usize,
    },
}
