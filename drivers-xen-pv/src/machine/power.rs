//! The ways out, and the power button.

use super::{apic, port};
use crate::abi::sched::{SHUTDOWN_CRASH, SHUTDOWN_POWEROFF};
use crate::acpi::{PowerOff, Tables};
use crate::guest::{
    self,
    memory::{self, Purpose},
};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// QEMU's `isa-debug-exit`, where it is: the process ends with twice the number and one.
const DEBUG_EXIT: u16 = 0xf4;
/// As statuses: 101 of a panic, as of a Rust process; 99 of another crash; 33 of a power-off where nothing else ends power.
const PANIC_STATUS: u8 = 50;
const CRASH: u8 = 49;
const OFF: u8 = 16;
/// QEMU's `pvpanic`, where it is, and its word for a crash (`docs/specs/pvpanic.txt`).
const PANIC: u16 = 0x505;
const PANICKED: u8 = 1;
/// The power registers of QEMU's PCs (ACPI 6.5, section 4.8.3.1), with the button's bit, and the bit that ends power.
const PM1_STATUS: u16 = 0x600;
const PM1_ENABLE: u16 = 0x602;
const PM1_CONTROL: u16 = 0x604;
const BUTTON: u16 = 1 << 8;
const SLEEP: u16 = 1 << 13;
/// The input of the interrupt controller that they have.
const POWER_INPUT: u32 = 9;
/// What a register that is not there reads as.
const NOTHING: u16 = 0xffff;
/// The keyboard controller's command port, and its pulse on the reset line.
const KEYBOARD: u16 = 0x64;
const RESET: u8 = 0xfe;
/// How long a machine that was told to go out is waited for.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Where ACPI's tables begin; 0 for nowhere.
pub(super) static RSDP: AtomicU64 = AtomicU64::new(0);

/// Lets the power button wake the guest, where the machine has one.
pub(super) fn init() {
    if port::read_u16(PM1_CONTROL) != NOTHING {
        port::write_u16(PM1_ENABLE, BUTTON);
        apic::route_line(POWER_INPUT);
    }
}

/// Whether the button has been pressed since it was asked last.
pub(super) fn is_button_pressed() -> bool {
    let status = port::read_u16(PM1_STATUS);
    let is_pressed = status != NOTHING && status & BUTTON != 0;
    if is_pressed {
        port::write_u16(PM1_STATUS, BUTTON);
    }
    is_pressed
}

/// Leaves, by the first way that the machine has; without one, by a fault that no handler takes, which resets it. After a crash
/// that nobody is told of the guest stands still: what made it crash would do so again.
pub(crate) fn leave(reason: u32) -> ! {
    match reason {
        SHUTDOWN_CRASH => {
            port::write(DEBUG_EXIT, if guest::has_panicked() { PANIC_STATUS } else { CRASH });
            port::write(PANIC, PANICKED);
            loop {
                // SAFETY: nothing runs after it.
                unsafe { asm!("cli", "hlt") }
            }
        }
        SHUTDOWN_POWEROFF => {
            if power_off() {
                // Power ends a moment later, where it does.
                super::wait_for(PATIENCE_NS, || false);
            }
            port::write(DEBUG_EXIT, OFF);
        }
        _ => {}
    }
    port::write(KEYBOARD, RESET);
    let none = [0u16; 5];
    // SAFETY: nothing runs after it.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &none, options(noreturn)) }
}

/// Does what the tables say, or what a PC has; false where there is nothing to do.
fn power_off() -> bool {
    let rsdp = RSDP.load(Ordering::Relaxed);
    let told = if rsdp == 0 { None } else { Tables(read).power_off(rsdp) };
    match told {
        Some(PowerOff::Port(port, value)) => port::write_u16(port, value),
        Some(PowerOff::PortByte(port, value)) => port::write(port, value),
        Some(PowerOff::Memory(at, value)) => {
            let Some(at) = memory::map_device(at, Purpose::Registers) else { return false };
            // SAFETY: mapped, and what ends power.
            unsafe { at.write_volatile(value) };
        }
        None if port::read_u16(PM1_CONTROL) == NOTHING => return false,
        None => port::write_u16(PM1_CONTROL, SLEEP),
    }
    true
}

/// An octet of physical memory; 0 where no more can be mapped.
fn read(at: u64) -> u8 {
    // SAFETY: reading the firmware's tables changes nothing, nor does reading whatever is there instead.
    memory::map_device(at, Purpose::Tables).map_or(0, |at| unsafe { at.read_volatile() })
}
