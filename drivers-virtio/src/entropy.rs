//! The entropy device (virtio 1.2, section 5.4): a seed for the generator of `fata_libos::entropy`, and no more.

use crate::VirtioError;
use crate::net::Features;
use crate::queue::Fault;
use crate::single::Single;
use core::fmt::Display;
use core::sync::atomic::{AtomicU64, Ordering};
use fata_libos::time::{Duration, Instant};
use virtio_drivers::Hal;
use virtio_drivers::transport::{DeviceStatus, Transport};

/// How long random octets may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a device is left alone that gave none.
const PAUSE: Duration = Duration::from_secs(60);

/// When the device may be asked, nanoseconds of the clock that [`seed`] is given.
pub(crate) struct NotBefore(AtomicU64);

impl NotBefore {
    /// At once.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

/// Fills `seed` from `device`, or with zeros where it gives nothing within half a second. Such a device is asked again after a minute:
/// its host may have had none. One that breaks the protocol is not. False if there is none, or it is not asked now.
pub(crate) fn seed<H: Hal, T: Transport>(
    not_before: &NotBefore,
    now: &dyn Fn() -> Instant,
    device: impl FnOnce() -> Option<T>,
    seed: &mut [u8; 32],
) -> bool {
    let start = now();
    if start.as_nanos() < not_before.0.load(Ordering::Relaxed) {
        return false;
    }
    let Some(transport) = device() else { return false };
    let outcome = fill::<H>(transport, seed, &|| now() - start < PATIENCE);
    let why: &dyn Display = match &outcome {
        Ok(Ok(())) => return true,
        Ok(Err(fault)) => fault,
        Err(error) => error,
    };
    log::error!("virtio-rng: {why}");
    let is_silent = matches!(outcome, Ok(Err(Fault::Silent)));
    let next = if is_silent { (start + PAUSE).as_nanos() } else { u64::MAX };
    not_before.0.store(next, Ordering::Relaxed);
    // A part of it may have come.
    *seed = [0; 32];
    true
}

/// Fills `seed` with the device's octets, as long as `may_wait` says so; then the device is stopped. Without interrupts: the
/// guest has nothing else to do before it has a seed.
fn fill<H: Hal>(
    mut transport: impl Transport,
    seed: &mut [u8],
    may_wait: &dyn Fn() -> bool,
) -> Result<Result<(), Fault>, VirtioError> {
    let features = transport.begin_init(Features::VERSION_1);
    crate::agreed(&transport, features.bits())?;
    let mut queue = Single::new::<H>(&mut transport, 0)?;
    transport.finish_init();
    let outcome = ask(&mut transport, &mut queue, seed, may_wait);
    transport.set_status(DeviceStatus::empty());
    // Section 2.4.2: then it is reset. The memory of one that does not say so stays its own.
    if transport.get_status().is_empty() {
        // SAFETY: made with the same `H`, and the device is reset.
        unsafe { queue.free::<H>() };
    }
    Ok(outcome)
}

fn ask(
    transport: &mut impl Transport,
    queue: &mut Single,
    seed: &mut [u8],
    may_wait: &dyn Fn() -> bool,
) -> Result<(), Fault> {
    let mut filled = 0;
    while let Some(rest) = seed.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        if !queue.is_given() {
            queue.ask(transport, rest.len());
        }
        // It may give fewer octets than it was asked for, and none for a while.
        match queue.take()? {
            Some(written) if written > 0 => {
                queue.copy_out(&mut rest[..written]);
                filled += written;
            }
            _ if !may_wait() => return Err(Fault::Silent),
            _ => core::hint::spin_loop(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeDevice, FakeHal};
    use std::cell::Cell;
    use virtio_drivers::transport::DeviceType;

    /// Asks a device that does `step` each time the driver waits.
    fn ask_device(step: &dyn Fn(&FakeDevice, u32)) -> ([u8; 32], Result<(), Fault>) {
        let device = FakeDevice::new(DeviceType::EntropySource, Features::VERSION_1.bits(), &[]);
        let mut seed = [0; 32];
        let waits = Cell::new(0);
        let may_wait = || {
            step(&device, waits.get());
            waits.set(waits.get() + 1);
            waits.get() < 100
        };
        let outcome = fill::<FakeHal>(device.clone(), &mut seed, &may_wait).unwrap();
        assert_eq!(device.0.borrow().status, DeviceStatus::empty(), "the device was not stopped");
        assert_eq!(FakeHal::pages(), 0, "its memory was not given back");
        (seed, outcome)
    }

    #[test]
    fn a_seed_comes_in_pieces() {
        let (seed, outcome) = ask_device(&|device, n| {
            let piece: &[u8] = if n % 3 == 0 { &[] } else { &[n as u8; 8] };
            device.answer(0, piece);
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(seed.to_vec(), [[2; 8], [5; 8], [8; 8], [11; 8]].concat());
        let (seed, outcome) = ask_device(&|device, _| {
            if let Some(given) = device.next(0) {
                given.write(&[7; 64][..given.len()]);
                device.give_back(0, given.id.into(), given.len() as u32);
            }
        });
        assert_eq!((seed, outcome), ([7; 32], Ok(())));
    }

    #[test]
    fn a_device_that_lies_or_is_silent_gives_no_seed() {
        type Lie<'a> = &'a dyn Fn(&FakeDevice, u32);
        let lies: &[(Lie<'_>, Fault)] = &[
            (&|_, _| {}, Fault::Silent),
            (&|device, _| device.give_back(0, 0, 33), Fault::Length { written: 33, room: 32 }),
            (&|device, _| device.give_back(0, 1, 8), Fault::Buffer(1)),
            (&|device, _| device.claim(0, 7), Fault::Buffer(0)),
        ];
        for (lie, fault) in lies {
            assert_eq!(ask_device(lie).1, Err(*fault));
        }
    }

    #[test]
    fn a_device_that_is_not_reset_keeps_its_memory() {
        let device = FakeDevice::new(DeviceType::EntropySource, Features::VERSION_1.bits(), &[]);
        device.0.borrow_mut().goes_on = true;
        let asked = fill::<FakeHal>(device, &mut [0; 8], &|| false).unwrap();
        assert_eq!((asked, FakeHal::pages()), (Err(Fault::Silent), 2));
    }

    #[test]
    fn a_device_that_does_not_agree_to_the_features_is_none() {
        let device = FakeDevice::new(DeviceType::EntropySource, Features::VERSION_1.bits(), &[]);
        device.0.borrow_mut().refuses = true;
        let asked = fill::<FakeHal>(device, &mut [0; 8], &|| false);
        assert!(matches!(asked, Err(VirtioError::Device)));
    }
    /// A machine whose device does `step` each time the driver waits, on a clock of its own.
    struct Machine<'a> {
        not_before: NotBefore,
        clock: Cell<Duration>,
        step: &'a dyn Fn(&FakeDevice),
    }

    impl<'a> Machine<'a> {
        fn new(step: &'a dyn Fn(&FakeDevice)) -> Self {
            Self { not_before: NotBefore::new(), clock: Cell::default(), step }
        }

        /// The first octet of the seed, if there was one, and whether the device was asked, at a time.
        fn seed_at(&self, at: Duration) -> (Option<u8>, bool) {
            self.clock.set(at);
            let device = FakeDevice::new(DeviceType::EntropySource, Features::VERSION_1.bits(), &[]);
            let is_asked = Cell::new(false);
            let now = || {
                if is_asked.get() {
                    (self.step)(&device);
                }
                self.clock.set(self.clock.get() + Duration::from_millis(1));
                Instant::default() + self.clock.get()
            };
            let open = || {
                is_asked.set(true);
                Some(device.clone())
            };
            let mut octets = [9; 32];
            let is_asked_now = seed::<FakeHal, _>(&self.not_before, &now, open, &mut octets);
            assert_eq!(FakeHal::pages(), 0, "its memory was not given back");
            assert!(octets.iter().all(|octet| *octet == octets[0]));
            (is_asked_now.then_some(octets[0]), is_asked.get())
        }
    }

    #[test]
    fn a_silent_device_is_asked_again_after_a_minute() {
        let is_silent = Cell::new(true);
        let answer = |device: &FakeDevice| {
            if !is_silent.get() {
                device.answer(0, &[7; 32]);
            }
        };
        let machine = Machine::new(&answer);
        let start = Duration::from_secs(100);
        assert_eq!(machine.seed_at(start), (Some(0), true));
        let waited = machine.clock.get() - start;
        assert!((PATIENCE..PATIENCE * 2).contains(&waited), "it waited for {waited:?}");
        is_silent.set(false);
        for millis in [600, 30_000, 59_900] {
            assert_eq!(machine.seed_at(start + Duration::from_millis(millis)), (None, false), "{millis}");
        }
        for millis in [60_100, 60_200] {
            assert_eq!(machine.seed_at(start + Duration::from_millis(millis)), (Some(7), true), "{millis}");
        }
    }

    #[test]
    fn a_device_that_lies_is_never_asked_again() {
        let machine = Machine::new(&|device| device.give_back(0, 0, 33));
        assert_eq!(machine.seed_at(Duration::from_secs(1)), (Some(0), true));
        for minutes in [1, 2, 1000] {
            assert_eq!(machine.seed_at(Duration::from_secs(60 * minutes + 2)), (None, false));
        }
    }
}
