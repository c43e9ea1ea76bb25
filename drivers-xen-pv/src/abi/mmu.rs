//! Page tables of a PV guest (`xen.h`: `mmu_update`, `mmuext_op`, `update_va_mapping`).

use super::layout;

/// `struct mmu_update`: one write to a page table.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MmuUpdate {
    /// Machine address of the entry; what to do (`MMU_*`) in the two low bits.
    pub ptr: u64,
    /// The new entry.
    pub val: u64,
}

layout!(MmuUpdate, size 16, ptr at 0, val at 8);

/// `MMU_NORMAL_PT_UPDATE`
pub const MMU_NORMAL_PT_UPDATE: u64 = 0;
/// `MMU_MACHPHYS_UPDATE`
pub const MMU_MACHPHYS_UPDATE: u64 = 1;
/// `MMU_PT_UPDATE_PRESERVE_AD`
pub const MMU_PT_UPDATE_PRESERVE_AD: u64 = 2;

/// `struct mmuext_op`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MmuextOp {
    /// `MMUEXT_*`.
    pub cmd: u32,
    _pad: u32,
    /// A machine frame or a linear address.
    pub arg1: u64,
    /// A number, a mask's address or a machine frame.
    pub arg2: u64,
}

impl MmuextOp {
    /// An operation.
    pub const fn new(cmd: u32, arg1: u64, arg2: u64) -> Self {
        Self { cmd, _pad: 0, arg1, arg2 }
    }
}

layout!(MmuextOp, size 24, cmd at 0, arg1 at 8, arg2 at 16);

/// `MMUEXT_PIN_L1_TABLE`
pub const MMUEXT_PIN_L1_TABLE: u32 = 0;
/// `MMUEXT_PIN_L2_TABLE`
pub const MMUEXT_PIN_L2_TABLE: u32 = 1;
/// `MMUEXT_PIN_L3_TABLE`
pub const MMUEXT_PIN_L3_TABLE: u32 = 2;
/// `MMUEXT_PIN_L4_TABLE`
pub const MMUEXT_PIN_L4_TABLE: u32 = 3;
/// `MMUEXT_UNPIN_TABLE`
pub const MMUEXT_UNPIN_TABLE: u32 = 4;
/// `MMUEXT_NEW_BASEPTR`
pub const MMUEXT_NEW_BASEPTR: u32 = 5;
/// `MMUEXT_TLB_FLUSH_LOCAL`
pub const MMUEXT_TLB_FLUSH_LOCAL: u32 = 6;
/// `MMUEXT_INVLPG_LOCAL`
pub const MMUEXT_INVLPG_LOCAL: u32 = 7;
/// `MMUEXT_TLB_FLUSH_ALL`
pub const MMUEXT_TLB_FLUSH_ALL: u32 = 10;

/// `UVMF_NONE`: no flush.
pub const UVMF_NONE: u64 = 0;
/// `UVMF_TLB_FLUSH`: flush all.
pub const UVMF_TLB_FLUSH: u64 = 1;
/// `UVMF_INVLPG`: flush the one address.
pub const UVMF_INVLPG: u64 = 2;

/// `struct multicall_entry`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MulticallEntry {
    /// The hypercall.
    pub op: u64,
    /// Its result.
    pub result: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

layout!(MulticallEntry, size 64, op at 0, result at 8, args at 16);
