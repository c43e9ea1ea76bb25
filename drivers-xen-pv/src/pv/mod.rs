//! The PV door: from the first instruction of a PV domain to the appliance's `main`.
//!
//! [`start`] follows the order of a boot: `start_info` checked, exceptions reported, sections given their rights ([`mm`]),
//! a heap; then the appliance. What both doors have in common is in `guest`.

mod entry;
mod mm;
mod start;
mod traps;
