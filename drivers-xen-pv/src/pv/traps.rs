//! Tells Xen where exceptions go.

use crate::abi::trap::{FLAT_KERNEL_CS, TI_MASK_EVENTS, TrapInfo};
use crate::guest::exception::{self, VECTORS};
use crate::guest::hypercall;
use core::cell::UnsafeCell;

struct Table(UnsafeCell<[TrapInfo; VECTORS + 1]>);

// SAFETY: written once, by the only thread, before the hypervisor reads it.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([const { TrapInfo::new(0, 0, 0, 0) }; VECTORS + 1]));

/// NMIs (2) and the two vectors that no processor raises any more have no line.
pub(super) fn init() {
    let table = TABLE.0.get().cast::<TrapInfo>();
    let vectors = (0..VECTORS as u8).filter(|v| !matches!(v, 2 | 9 | 15));
    for (line, vector) in vectors.enumerate() {
        let address = exception::stub(usize::from(vector)) as u64;
        // SAFETY: at most VECTORS lines, so that the last one stays zero.
        unsafe { table.add(line).write(TrapInfo::new(vector, TI_MASK_EVENTS, FLAT_KERNEL_CS, address)) };
    }
    // SAFETY: the table ends with a zero line and stays where it is; its stubs handle each vector.
    let result = unsafe { hypercall::set_trap_table(table) };
    assert!(result == 0, "set_trap_table: {result}");
}
