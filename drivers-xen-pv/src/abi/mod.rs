//! The hypervisor's structures and numbers: pure data, one module a public header, x86-64.
//!
//! Each module names its header (`/usr/include/xen`, package `libxen-dev`). Sizes and offsets are asserted at compile time
//! here, and compared with the real headers by `tests/abi_layout.rs`. Fields keep the names of the headers.

pub mod blkif;
pub mod console;
pub mod elfnote;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod hypercall;
pub mod memory;
pub mod mmu;
pub mod netif;
pub mod sched;
pub mod shared_info;
pub mod start_info;
pub mod trap;
pub mod vcpu;
pub mod version;
pub mod xs_wire;

/// Asserts at compile time what the header says of a structure: its size, and where its fields lie.
macro_rules! layout {
    ($ty:ty, size $size:literal, $($field:ident at $offset:literal),+ $(,)?) => {
        const _: () = assert!(core::mem::size_of::<$ty>() == $size);
        $(const _: () = assert!(core::mem::offset_of!($ty, $field) == $offset);)+
    };
}
pub(crate) use layout;
