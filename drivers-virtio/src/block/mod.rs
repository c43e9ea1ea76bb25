//! The block device (virtio 1.2, section 5.2): one queue, many requests in flight, buffers handed over as they are.
//!
//! A request's header and status lie in a page of the driver's own. A device that answers what it was not asked is reset, and
//! its requests end with an error; buffers that it had are not used again.

#[cfg(target_os = "xen")]
mod guest;
#[cfg(test)]
mod tests;

#[cfg(target_os = "xen")]
pub use guest::{DiskError, find_block, open_block};

use crate::VirtioError;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::mem::{self, ManuallyDrop};
use core::ptr::NonNull;
use core::slice;
use core::task::Poll;
use fata_libos::block::{
    Access, BlockDevice, BlockError, Completer, Discard, Geometry, InFlight, Outcome, Request, completion,
};
use fata_libos::task::WakerSet;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, Transport};
use virtio_drivers::{BufferDirection, Hal};

/// Requests in flight, each of at most three descriptors.
const SLOTS: usize = 32;
const DESCRIPTORS: usize = 128;
/// Octets of a sector in requests, whatever the device's are.
const SECTOR: usize = 512;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const DISCARD: u32 = 11;

const STATUS_OK: u8 = 0;

/// Where in the driver's page the headers begin, what is to be discarded, and the statuses.
const HEADER: usize = 16;
const DISCARDS: usize = SLOTS * HEADER;
const STATUSES: usize = 2 * SLOTS * HEADER;

/// Where in the configuration space these are.
const CAPACITY: usize = 0;
const BLK_SIZE: usize = 20;
const MAX_DISCARD_SECTORS: usize = 36;

bitflags::bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const RO = 1 << 5;
        const BLK_SIZE = 1 << 6;
        const FLUSH = 1 << 9;
        const DISCARD = 1 << 13;
        const VERSION_1 = 1 << 32;
    }
}

impl core::fmt::Debug for Features {
    /// virtio-drivers logs them at debug; the names of flags are of more code than that is worth.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&self.bits(), f)
    }
}

/// A request that the device has, or will have.
struct Job {
    request: Request,
    done: Completer,
    /// Sectors that the device has discarded of those that it is to.
    discarded: u64,
}

impl Job {
    /// Ends it before the device had it.
    fn refuse(self) {
        let error = BlockError::Gone { sector: self.request.sector() };
        self.done.complete(Outcome::refused(self.request, error));
    }

    /// The sectors that the device is to discard next, and how many, of which it takes at most `most` at once.
    fn next_discard(&self, most: u64) -> Option<(u64, u64)> {
        match self.request {
            Request::Discard { sector, count } => {
                Some((sector + self.discarded, (count - self.discarded).min(most)))
            }
            _ => None,
        }
    }

    /// Whether the device has not done all of it yet.
    fn goes_on(&mut self, most: u64) -> bool {
        self.discarded += self.next_discard(most).map_or(0, |(_, count)| count);
        matches!(self.request, Request::Discard { count, .. } if self.discarded < count)
    }
}

/// A request that the device has, by token of `virtio-drivers`.
struct InSlot {
    token: u16,
    job: Job,
}

struct State<T: Transport, H: Hal> {
    transport: T,
    /// Never dropped: its memory stays the device's, which may go on using it.
    queue: ManuallyDrop<VirtQueue<H, DESCRIPTORS>>,
    /// The page with headers and statuses.
    page: NonNull<u8>,
    slots: [Option<InSlot>; SLOTS],
    waiting: VecDeque<Job>,
    status: Status,
    /// Sectors that the device discards at once.
    most_discard: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Works,
    /// Nobody wants it any more.
    Unwanted,
    /// It broke the rules, and was reset.
    Broken,
}

struct Core<T: Transport, H: Hal> {
    state: RefCell<State<T, H>>,
    geometry: Geometry,
    features: Features,
    /// Woken when a device may have done something.
    interrupted: &'static WakerSet,
}

/// A disk, over either transport.
pub struct VirtioBlk<T: Transport, H: Hal> {
    core: Rc<Core<T, H>>,
}

impl<T: Transport + 'static, H: Hal + 'static> VirtioBlk<T, H> {
    /// Starts the device; `wake` lets its interrupts through, once its queue is there.
    pub fn new(
        mut transport: T,
        access: Access,
        interrupted: &'static WakerSet,
        wake: impl FnOnce(),
    ) -> Result<Self, VirtioError> {
        let features = transport.begin_init(Features::all());
        crate::agreed(&transport, features.bits())?;
        let (geometry, most_discard) = geometry(&transport, features, access)?;
        let queue = VirtQueue::new(&mut transport, 0, false, false)?;
        let (address, page) = H::dma_alloc(1, BufferDirection::Both);
        if address == 0 {
            return Err(VirtioError::Memory);
        }
        wake();
        transport.finish_init();
        log::info!(
            "virtio-blk: {} sectors of {} octets, {:?}",
            geometry.sectors,
            geometry.sector_size,
            geometry.access
        );
        let state = State {
            transport,
            queue: ManuallyDrop::new(queue),
            page,
            slots: [const { None }; SLOTS],
            waiting: VecDeque::new(),
            status: Status::Works,
            most_discard,
        };
        let core = Rc::new(Core { state: RefCell::new(state), geometry, features, interrupted });
        fata_libos::spawn_detached(serve(core.clone()));
        Ok(Self { core })
    }
}

/// What the device is like, and how many sectors it discards at once.
fn geometry(
    transport: &impl Transport,
    features: Features,
    access: Access,
) -> Result<(Geometry, u64), VirtioError> {
    let sectors = transport.read_config_space::<u32>(CAPACITY)?;
    let high = transport.read_config_space::<u32>(CAPACITY + 4)?;
    let sectors = u64::from(sectors) | u64::from(high) << 32;
    let sector_size = match features.contains(Features::BLK_SIZE) {
        true => transport.read_config_space::<u32>(BLK_SIZE)? as usize,
        false => SECTOR,
    };
    if !matches!(sector_size, 512 | 4096) || sectors >> 54 != 0 {
        log::error!("virtio-blk: {sectors} sectors, of {sector_size} octets: expected 512 or 4096");
        return Err(VirtioError::Device);
    }
    let access = if features.contains(Features::RO) { Access::ReadOnly } else { access };
    let mut geometry = Geometry::new(sector_size, sectors / (sector_size / SECTOR) as u64, access);
    let mut most_discard = 0;
    if features.contains(Features::DISCARD) {
        // Said in sectors of 512 octets; a request has 32 bits for as much.
        most_discard =
            transport.read_config_space::<u32>(MAX_DISCARD_SECTORS)? / (sector_size / SECTOR) as u32;
    }
    if most_discard > 0 {
        geometry.discard = Discard::Supported;
    }
    Ok((geometry, most_discard.into()))
}

/// Takes responses, until nobody wants the device any more.
async fn serve<T: Transport, H: Hal>(core: Rc<Core<T, H>>) {
    poll_fn(|cx| {
        let mut state = core.state.borrow_mut();
        // First, so that what comes after it raises a new interrupt.
        state.transport.ack_interrupt();
        state.reap();
        state.pump(&core.geometry);
        if state.is_over() {
            return Poll::Ready(());
        }
        core.interrupted.register(cx);
        Poll::Pending
    })
    .await;
}

impl<T: Transport, H: Hal> State<T, H> {
    /// Whether the device has nothing to do any more, for ever.
    fn is_over(&mut self) -> bool {
        match self.status {
            Status::Works => false,
            Status::Broken => true,
            Status::Unwanted if self.slots.iter().any(Option::is_some) => false,
            Status::Unwanted => {
                self.transport.set_status(DeviceStatus::empty());
                true
            }
        }
    }

    /// A part of the driver's page.
    fn part(&mut self, offset: usize, len: usize) -> &'static mut [u8] {
        assert!(offset + len <= 4096, "{len} octets at {offset} of a page");
        // SAFETY: within the page, which is never given back; callers hold one slice of a place at a time, and none while the
        // device has it.
        unsafe { slice::from_raw_parts_mut(self.page.as_ptr().add(offset), len) }
    }

    /// What the device reads and writes for the request of a slot, before its status.
    fn with_buffers<R>(
        &mut self,
        slot: usize,
        request: &mut Request,
        f: impl for<'a> FnOnce(&mut VirtQueue<H, DESCRIPTORS>, &'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> R,
    ) -> R {
        let header = &*self.part(slot * HEADER, HEADER);
        let status = self.part(STATUSES + slot, 1);
        match request {
            Request::Read { buffer, .. } => f(&mut self.queue, &[header], &mut [&mut buffer[..], status]),
            Request::Write { buffer, .. } => f(&mut self.queue, &[header, &buffer[..]], &mut [status]),
            Request::Flush => f(&mut self.queue, &[header], &mut [status]),
            Request::Discard { .. } => {
                let range = &*self.part(DISCARDS + slot * HEADER, HEADER);
                f(&mut self.queue, &[header, range], &mut [status])
            }
        }
    }

    /// Hands to the device what there is room for.
    fn pump(&mut self, geometry: &Geometry) {
        let mut is_new = false;
        while self.status == Status::Works
            && let Some(slot) = self.slots.iter().position(Option::is_none)
            && let Some(mut job) = self.waiting.pop_front()
        {
            self.write_header(slot, &job, geometry);
            // SAFETY: the buffer is the job's, which stays in its slot, untouched, until `reap` pops the token; header and status
            // are the slot's. Memory that is contiguous for the guest is contiguous for devices too.
            let added = self.with_buffers(slot, &mut job.request, |queue, read, written| unsafe {
                queue.add(read, written)
            });
            match added {
                Ok(token) => {
                    self.slots[slot] = Some(InSlot { token, job });
                    is_new = true;
                }
                Err(_) => {
                    self.waiting.push_front(job);
                    break;
                }
            }
        }
        if is_new && self.queue.should_notify() {
            self.transport.notify(0);
        }
    }

    fn write_header(&mut self, slot: usize, job: &Job, geometry: &Geometry) {
        let factor = (geometry.sector_size / SECTOR) as u64;
        let sector = job.request.sector() * factor;
        let (kind, at) = match job.request {
            Request::Read { .. } => (READ, sector),
            Request::Write { .. } => (WRITE, sector),
            Request::Flush => (FLUSH, 0),
            Request::Discard { .. } => (DISCARD, 0),
        };
        let header = self.part(slot * HEADER, HEADER);
        header.fill(0);
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..].copy_from_slice(&at.to_le_bytes());
        if let Some((first, count)) = job.next_discard(self.most_discard) {
            let range = self.part(DISCARDS + slot * HEADER, HEADER);
            range.fill(0);
            range[..8].copy_from_slice(&(first * factor).to_le_bytes());
            range[8..12].copy_from_slice(&((count * factor) as u32).to_le_bytes());
        }
        self.part(STATUSES + slot, 1)[0] = u8::MAX;
    }

    /// Takes back what the device has done.
    fn reap(&mut self) {
        while self.status != Status::Broken
            && let Some(token) = self.queue.peek_used()
        {
            let of_token = |slot: &Option<InSlot>| slot.as_ref().is_some_and(|slot| slot.token == token);
            let taken = self.slots.iter().position(of_token);
            let Some((slot, InSlot { mut job, .. })) = taken.and_then(|n| Some((n, self.slots[n].take()?)))
            else {
                log::error!("virtio-blk: the device has used descriptor {token}, which is not in flight");
                return self.give_up();
            };
            // SAFETY: the same buffers as were added for the token.
            let popped = self.with_buffers(slot, &mut job.request, |queue, read, written| unsafe {
                queue.pop_used(token, read, written)
            });
            let most = 1 + match &job.request {
                Request::Read { buffer, .. } => buffer.len(),
                _ => 0,
            };
            if popped.is_err() || popped.is_ok_and(|written| written as usize > most) {
                log::error!("virtio-blk: the device says to have written more than it was given room for");
                self.slots[slot] = Some(InSlot { token, job });
                return self.give_up();
            }
            let status = self.part(STATUSES + slot, 1)[0];
            if status == STATUS_OK && job.goes_on(self.most_discard) {
                self.waiting.push_front(job);
                continue;
            }
            let sector = job.request.sector();
            let result = match status {
                STATUS_OK => Ok(()),
                _ => Err(BlockError::Failed { sector, status: status.into() }),
            };
            job.done.complete(Outcome { result, buffer: job.request.into_buffer() });
        }
    }

    /// The device is not to be trusted any more.
    fn give_up(&mut self) {
        self.status = Status::Broken;
        self.transport.set_status(DeviceStatus::empty());
        for InSlot { job: Job { request, done, .. }, .. } in self.slots.iter_mut().filter_map(Option::take) {
            let sector = request.sector();
            // Who knows whether it has stopped writing there.
            mem::forget(request.into_buffer());
            done.complete(Outcome { result: Err(BlockError::Gone { sector }), buffer: None });
        }
        mem::take(&mut self.waiting).into_iter().for_each(Job::refuse);
    }
}

impl<T: Transport, H: Hal> BlockDevice for VirtioBlk<T, H> {
    fn geometry(&self) -> Geometry {
        self.core.geometry
    }

    fn submit(&self, request: Request) -> InFlight {
        let Core { state, geometry, features, .. } = &*self.core;
        let has_nothing = match &request {
            Request::Read { buffer, .. } | Request::Write { buffer, .. } => buffer.is_empty(),
            Request::Discard { count, .. } => *count == 0,
            // A device without a cache has nothing to flush (section 5.2.6.2).
            Request::Flush => !features.contains(Features::FLUSH),
        };
        let result = geometry.check(&request);
        if result.is_err() || has_nothing {
            return Box::pin(core::future::ready(Outcome { result, buffer: request.into_buffer() }));
        }
        let (done, in_flight) = completion();
        let job = Job { request, done, discarded: 0 };
        let mut state = state.borrow_mut();
        match state.status {
            Status::Broken => job.refuse(),
            _ => state.waiting.push_back(job),
        }
        state.pump(geometry);
        in_flight
    }
}

impl<T: Transport, H: Hal> Drop for VirtioBlk<T, H> {
    fn drop(&mut self) {
        let mut state = self.core.state.borrow_mut();
        if state.status == Status::Works {
            state.status = Status::Unwanted;
        }
        drop(state);
        self.core.interrupted.wake_all();
    }
}
