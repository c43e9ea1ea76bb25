//! The entropy device (virtio 1.2, section 5.4): a seed for the generator of `fata_libos::entropy`, and no more.

use crate::VirtioError;
use crate::queue::Fault;
use crate::single::Single;
use virtio_drivers::Hal;
use virtio_drivers::transport::{DeviceStatus, Transport};

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u64 {
        const VERSION_1 = 1 << 32;
    }
}

/// Fills `seed` with the device's octets, as long as `may_wait` says so; then the device is stopped. Without interrupts: the
/// guest has nothing else to do before it has a seed.
pub(crate) fn fill<H: Hal>(
    mut transport: impl Transport,
    seed: &mut [u8],
    may_wait: &dyn Fn() -> bool,
) -> Result<Result<(), Fault>, VirtioError> {
    transport.begin_init(Features::all());
    let mut queue = Single::new::<H>(&mut transport, 0)?;
    transport.finish_init();
    let outcome = ask(&mut transport, &mut queue, seed, may_wait);
    // What it was given stays its own: the queue's memory is never given back.
    transport.set_status(DeviceStatus::empty());
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
