//! The console: the first serial port (a 16550). Output waits for the port, which in a virtual machine is no wait; input comes
//! by interrupt, and is taken whether somebody reads or not, so that a break behind it is heard.

use super::{interrupted, port};
use crate::guest::memory::Place;
use crate::text;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use fata_libos::console::{Console, MAX_LINE};
use fata_libos::platform::Leave;
use fata_libos::shutdown;

const DATA: u16 = 0x3f8;
const INTERRUPTS: u16 = DATA + 1;
const MODEM: u16 = DATA + 4;
const STATUS: u16 = DATA + 5;
const HAS_DATA: u8 = 1;
const BREAK: u8 = 1 << 4;
/// No 16550 without FIFO has an error in it.
const NOTHING: u8 = 1 << 7;
const HAS_ROOM: u8 = 1 << 5;
/// How long room is waited for before octets are dropped, until there is room again.
const PATIENCE_NS: u64 = 2_000_000_000;
/// Whether octets were dropped since there was room.
static DROPS: AtomicBool = AtomicBool::new(false);

pub(super) fn init() {
    // Tell of data; DTR, RTS, and OUT2, which lets the interrupt out.
    port::write(INTERRUPTS, 1);
    port::write(MODEM, 0xb);
}

/// Whether the machine has the port: one that is not there reads as all ones.
pub fn has_serial() -> bool {
    port::read(STATUS) != u8::MAX
}

fn has_room() -> bool {
    port::read(STATUS) & HAS_ROOM != 0
}

fn put(byte: u8) {
    let drops = DROPS.load(Ordering::Relaxed);
    let is_taken = super::wait_for(if drops { 0 } else { PATIENCE_NS }, has_room);
    DROPS.store(!is_taken, Ordering::Relaxed);
    if is_taken {
        if drops {
            write(b"\nfata: output was lost here\n");
        }
        port::write(DATA, byte);
    }
}

pub(super) fn write(bytes: &[u8]) {
    for &byte in bytes {
        if byte == b'\n' {
            put(b'\r');
        }
        put(byte);
    }
}

/// What has come and was not read yet.
static INPUT: Place<Vec<u8>> = Place::new(Vec::new());

fn is_end_of_line(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Takes what has come; whether there was a break, which is no input. Of a line that is too long the end is lost; what follows
/// a whole line waits in the port when there is no more room.
pub(super) fn take_input() -> bool {
    let mut had_break = false;
    INPUT.with(|input| {
        while input.len() < MAX_LINE || !input.iter().any(is_end_of_line) {
            let status = port::read(STATUS);
            had_break |= status & (BREAK | NOTHING) == BREAK;
            // A port that is not there reads as all ones.
            if status & (HAS_DATA | NOTHING) != HAS_DATA {
                return;
            }
            let byte = port::read(DATA);
            if status & BREAK == 0 && (input.len() < MAX_LINE || is_end_of_line(&byte)) {
                input.push(byte);
            }
        }
    });
    had_break
}

/// The serial port as a console.
#[derive(Default)]
pub struct SerialConsole;

fn poll_line(cx: &mut Context<'_>) -> Poll<Option<String>> {
    if take_input() {
        shutdown::request(Leave::PowerOff);
    }
    let line = INPUT.with(|input| {
        let end = input.iter().position(is_end_of_line)?;
        let rest = input.split_off(end + 1);
        let mut line = core::mem::replace(input, rest);
        line.truncate(end);
        Some(line)
    });
    if let Some(line) = line {
        return Poll::Ready(Some(text::lossy(line)));
    }
    interrupted().register(cx);
    Poll::Pending
}

impl Console for SerialConsole {
    fn write(&self, bytes: &[u8]) {
        write(bytes);
    }

    fn read_line(&self) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(poll_fn(poll_line))
    }
}
