//! The console device (virtio 1.2, section 5.3): its first port, for machines without a serial one.
//!
//! Output waits for the host, but not for ever: what a host that reads no more leaves no room for is dropped. A device that
//! breaks the protocol is not written to again.

use crate::VirtioError;
use crate::net::Features;
use crate::queue::Fault;
use crate::single::{BUFFER, Single};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use fata_libos::console::MAX_LINE;
use virtio_drivers::Hal;
use virtio_drivers::transport::{DeviceStatus, Transport};

const INPUT: u16 = 0;
const OUTPUT: u16 = 1;

/// How long the host may take for what was written, before what comes next is dropped.
const PATIENCE_NS: u64 = 2_000_000_000;
/// And looks at it meanwhile: the limit while the clock does not go.
const LOOKS: u32 = 10_000_000;

/// The first port of a console.
pub(crate) struct Port<T: Transport> {
    /// Never dropped: `virtio-drivers` then waits for the device without end.
    transport: ManuallyDrop<T>,
    /// The time, nanoseconds.
    now: fn() -> u64,
    input: Single,
    output: Single,
    /// What was typed since the last end of a line, and the lines before it: from one buffer of input.
    line: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
    /// The host was waited for in vain, and has not taken anything since.
    stalled: bool,
    dead: bool,
}

impl<T: Transport> Port<T> {
    /// Starts the device; `wire` lets the interrupts of its first queue through, `now` tells the time in nanoseconds.
    pub(crate) fn new<H: Hal>(
        mut transport: T,
        now: fn() -> u64,
        wire: impl FnOnce(),
    ) -> Result<Self, VirtioError> {
        let features = transport.begin_init(Features::VERSION_1);
        crate::agreed(&transport, features.bits())?;
        let input = Single::new::<H>(&mut transport, INPUT)?;
        let output = Single::new::<H>(&mut transport, OUTPUT)?;
        wire();
        transport.finish_init();
        let (line, lines) = (Vec::new(), VecDeque::new());
        let transport = ManuallyDrop::new(transport);
        let mut port = Self { transport, now, input, output, line, lines, stalled: false, dead: false };
        port.input.ask(&mut *port.transport, BUFFER);
        Ok(port)
    }

    fn give_up(&mut self) {
        self.transport.set_status(DeviceStatus::empty());
        self.dead = true;
    }

    /// Waits until the host has what was written; false if it does not take it, or the device is given up.
    fn wait_for_room(&mut self) -> bool {
        let end = (self.now)() + if self.stalled { 0 } else { PATIENCE_NS };
        for _ in 0..LOOKS {
            if self.dead || !self.output.is_given() {
                self.stalled = false;
                return !self.dead;
            }
            if self.output.take().is_err() {
                self.give_up();
            }
            if self.output.is_given() && (self.now)() >= end {
                break;
            }
            core::hint::spin_loop();
        }
        self.stalled = self.output.is_given();
        !self.stalled
    }

    /// Writes; returns when the host has it, or does not take it.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.wait_for_room() {
            // A terminal wants both, as from a serial port.
            let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
            let (sent, rest) = match end {
                0 => (self.output.send(&mut *self.transport, b"\r\n").min(1), 1),
                _ => (self.output.send(&mut *self.transport, &bytes[..end]), 0),
            };
            bytes = &bytes[sent.max(rest)..];
        }
        self.wait_for_room();
    }

    /// The next line typed.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        if self.dead {
            return None;
        }
        // First, so that what comes after it raises a new interrupt.
        self.transport.ack_interrupt();
        while self.lines.is_empty() {
            match self.take_input() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => {
                    self.give_up();
                    return None;
                }
            }
        }
        self.lines.pop_front()
    }

    /// Takes what was typed apart; false if nothing was.
    fn take_input(&mut self) -> Result<bool, Fault> {
        let Some(written) = self.input.take()? else { return Ok(false) };
        let mut typed = [0; BUFFER];
        let typed = &mut typed[..written];
        self.input.copy_out(typed);
        for &byte in &*typed {
            match byte {
                b'\r' | b'\n' => self.lines.push_back(core::mem::take(&mut self.line)),
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => {}
            }
        }
        self.input.ask(&mut *self.transport, BUFFER);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeDevice, FakeHal};
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use virtio_drivers::transport::DeviceType;

    thread_local! {
        static CLOCK: Cell<u64> = const { Cell::new(0) };
    }

    /// Each look at the clock takes a millisecond.
    fn now() -> u64 {
        CLOCK.set(CLOCK.get() + 1_000_000);
        CLOCK.get()
    }

    /// A device whose host reads each octet at once, if it reads at all.
    fn open(reads: bool) -> (Port<FakeDevice>, FakeDevice, Rc<RefCell<Vec<u8>>>) {
        let device = FakeDevice::new(DeviceType::Console, Features::VERSION_1.bits(), &[]);
        let said = Rc::new(RefCell::new(Vec::new()));
        if reads {
            let said = said.clone();
            device.0.borrow_mut().on_notify = Some(Rc::new(move |device: &FakeDevice, queue| {
                if queue == OUTPUT {
                    let given = device.next(OUTPUT.into()).unwrap();
                    said.borrow_mut().extend(given.read());
                    device.give_back(OUTPUT.into(), given.id.into(), 0);
                }
            }));
        }
        (Port::new::<FakeHal>(device.clone(), now, || {}).unwrap(), device, said)
    }

    #[test]
    fn what_is_written_is_read() {
        let (mut port, _device, said) = open(true);
        port.write(b"one\ntwo\n\nthree");
        assert_eq!(*said.borrow(), b"one\r\ntwo\r\n\r\nthree");
        said.borrow_mut().clear();
        let long: Vec<u8> = (0..10_000).map(|n| b'a' + (n % 26) as u8).collect();
        port.write(&long);
        assert_eq!(*said.borrow(), long);
    }

    #[test]
    fn what_is_typed_comes_by_the_line() {
        let (mut port, device, _said) = open(true);
        assert_eq!(port.line(), None);
        device.answer(0, b"first\nsec");
        assert_eq!(port.line().as_deref(), Some(&b"first"[..]));
        assert_eq!(port.line(), None);
        device.answer(0, b"ond\rthird\n");
        assert_eq!(port.line().as_deref(), Some(&b"second"[..]));
        assert_eq!(port.line().as_deref(), Some(&b"third"[..]));
        for _ in 0..3 {
            assert!(device.answer(0, &[b'x'; BUFFER]));
            assert_eq!(port.line(), None);
        }
        device.answer(0, b"\n");
        assert_eq!(port.line().map(|line| line.len()), Some(MAX_LINE));
    }

    #[test]
    fn a_host_that_reads_no_more_holds_nobody() {
        let (mut port, device, _said) = open(false);
        // It is waited for by time, and once.
        port.write(b"into the void\n");
        let waited = CLOCK.take();
        assert!((PATIENCE_NS..PATIENCE_NS + 100_000_000).contains(&waited), "{waited} ns");
        port.write(b"and again\n");
        assert!(CLOCK.get() < 100_000_000);
        let given = device.next(1).unwrap();
        assert_eq!(given.read(), b"into the void");
        assert!(device.next(1).is_none());
        // It reads again, and what comes then is written.
        device.give_back(1, given.id.into(), 0);
        port.write(b"back");
        assert_eq!(device.next(1).unwrap().read(), b"back");
    }

    #[test]
    fn a_device_that_lies_is_not_written_to() {
        let lies: [fn(&FakeDevice); 3] = [
            |device| device.give_back(0, 0, BUFFER as u32 + 1),
            |device| device.give_back(0, 7, 1),
            |device| device.claim(0, 9),
        ];
        for lie in lies {
            let (mut port, device, said) = open(true);
            lie(&device);
            assert_eq!(port.line(), None);
            assert_eq!(device.0.borrow().status, DeviceStatus::empty());
            port.write(b"nobody hears it");
            assert!(said.borrow().is_empty());
        }
    }
}
