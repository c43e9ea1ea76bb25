//! Ports.

use core::arch::asm;

pub(super) fn read(port: u16) -> u8 {
    let value;
    // SAFETY: reading the ports that this module's callers name changes no memory.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

pub(super) fn write(port: u16, value: u8) {
    // SAFETY: the ports that this module's callers name change no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

pub(super) fn read_u16(port: u16) -> u16 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags)) };
    value
}

pub(super) fn write_u16(port: u16, value: u16) {
    // SAFETY: as above.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads 32 bits.
///
/// # Safety
/// Reading the port has no effect on memory that somebody uses.
pub unsafe fn read_u32(port: u16) -> u32 {
    let value;
    // SAFETY: by the caller.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags)) };
    value
}

/// Writes 32 bits.
///
/// # Safety
/// Writing the port has no effect on memory that somebody uses.
pub unsafe fn write_u32(port: u16, value: u32) {
    // SAFETY: by the caller.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags)) };
}
