//! The console: the first serial port (a 16550). Output waits for the port, which in a virtual machine is no wait; input comes
//! by interrupt.

use super::{interrupted, port};
use crate::text;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use fata_libos::console::{Console, MAX_LINE};

const DATA: u16 = 0x3f8;
const INTERRUPTS: u16 = DATA + 1;
const MODEM: u16 = DATA + 4;
const STATUS: u16 = DATA + 5;
const HAS_DATA: u8 = 1;
const HAS_ROOM: u8 = 1 << 5;
/// Looks for room before an octet is dropped.
const PATIENCE: u32 = 100_000;

pub(super) fn init() {
    // Tell of data; DTR, RTS, and OUT2, which lets the interrupt out.
    port::write(INTERRUPTS, 1);
    port::write(MODEM, 0xb);
}

/// Whether the machine has the port: one that is not there reads as all ones.
pub fn has_serial() -> bool {
    port::read(STATUS) != u8::MAX
}

fn put(byte: u8) {
    let _ = (0..PATIENCE).find(|_| port::read(STATUS) & HAS_ROOM != 0);
    port::write(DATA, byte);
}

pub(super) fn write(bytes: &[u8]) {
    for &byte in bytes {
        if byte == b'\n' {
            put(b'\r');
        }
        put(byte);
    }
}

/// The serial port as a console.
#[derive(Default)]
pub struct SerialConsole {
    line: RefCell<Vec<u8>>,
}

impl SerialConsole {
    fn poll_line(&self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut line = self.line.borrow_mut();
        // A port that is not there reads as all ones.
        while port::read(STATUS) & (HAS_DATA | 0x80) == HAS_DATA {
            match port::read(DATA) {
                b'\r' | b'\n' => {
                    return Poll::Ready(Some(text::lossy(core::mem::take(&mut *line))));
                }
                byte if line.len() < MAX_LINE => line.push(byte),
                _ => {}
            }
        }
        interrupted().register(cx);
        Poll::Pending
    }
}

impl Console for SerialConsole {
    fn write(&self, bytes: &[u8]) {
        write(bytes);
    }

    fn read_line(&self) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(poll_fn(|cx| self.poll_line(cx)))
    }
}
