//! The ways out.

use super::port;
use crate::abi::sched::{SHUTDOWN_CRASH, SHUTDOWN_POWEROFF};
use core::arch::asm;

/// QEMU's `isa-debug-exit`, where it is: the process ends with twice the number and one.
const DEBUG_EXIT: u16 = 0xf4;
/// 99 as the status of a crash.
const CRASH: u8 = 49;
/// The power control register of QEMU's PCs, and the bit that ends power.
const PM1_CONTROL: u16 = 0x604;
const SLEEP: u16 = 1 << 13;
/// The keyboard controller's command port, and its pulse on the reset line.
const KEYBOARD: u16 = 0x64;
const RESET: u8 = 0xfe;

/// Leaves, by the first way that the machine has; without one, by a fault that no handler takes, which resets it.
pub(crate) fn leave(reason: u32) -> ! {
    match reason {
        SHUTDOWN_CRASH => port::write(DEBUG_EXIT, CRASH),
        SHUTDOWN_POWEROFF => port::write_u16(PM1_CONTROL, SLEEP),
        _ => {}
    }
    port::write(KEYBOARD, RESET);
    let none = [0u16; 5];
    // SAFETY: nothing runs after it.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &none, options(noreturn)) }
}
