//! The PVH door: from the first instruction, 32-bit code without paging, to the appliance's `main`.
//!
//! [`start`] follows the order of a boot: a GDT and an IDT ([`cpu`]), Xen's hypercall page ([`xen`]), `hvm_start_info`
//! checked, page tables that give each section its rights ([`paging`]), the rest of the memory when it is needed
//! ([`window`]); then the appliance. What both doors have in common is in `guest`.

mod cpu;
mod entry;
mod paging;
mod start;
mod start_info;
mod window;
mod xen;
