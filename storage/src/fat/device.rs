//! A disk as `hadris-storage` wants it: octets are the caller's, so each request has a buffer of ours.

use core::task::{Context, Poll, ready};
use fata_libos::block::{Access, BlockError, Buffer, Disk, InFlight, Request};
use hadris_io::{Error, ErrorKind, ErrorType};
use hadris_storage::async_::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};

/// The most octets of one request; longer transfers are several, one after the other.
const MOST: usize = 128 << 10;

/// A disk under a file system.
pub struct Device {
    disk: Disk,
    block_size: BlockSize,
    /// A request whose operation was cancelled: the disk goes on with it, and what follows might overtake it.
    forsaken: Option<InFlight>,
}

/// How far a transfer is.
#[derive(Default)]
pub struct Transfer {
    done: usize,
    in_flight: Option<InFlight>,
}

type Polled = Poll<Result<(), Error<BlockError>>>;

impl Device {
    /// `None` where the disk has sectors of no size at all.
    pub fn new(disk: Disk) -> Option<Self> {
        let block_size = u32::try_from(disk.sector_size()).ok().and_then(BlockSize::new)?;
        Some(Self { disk, block_size, forsaken: None })
    }

    fn poll_forsaken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(request) = &mut self.forsaken {
            // Nobody wants its outcome any more.
            let _ = ready!(request.as_mut().poll(cx));
            self.forsaken = None;
        }
        Poll::Ready(())
    }

    /// Where the next piece of a transfer begins, its sector and length.
    fn piece(&self, first: BlockIndex, done: usize, len: usize) -> (u64, usize) {
        let sector = first.get() + (done / self.disk.sector_size()) as u64;
        (sector, (len - done).min(MOST))
    }
}

fn buffer(sector: u64, octets: usize) -> Result<Buffer, Error<BlockError>> {
    Buffer::try_zeroed(octets).ok_or_else(|| failed(BlockError::NoMemory { sector, octets }))
}

fn failed(error: BlockError) -> Error<BlockError> {
    let kind = match error {
        BlockError::ReadOnly { .. } => ErrorKind::ReadOnly,
        _ => ErrorKind::Io,
    };
    Error::device(error, "the block device failed").with_kind(kind)
}

impl ErrorType for Device {
    type Error = BlockError;
}

impl BlockDevice for Device {
    type State = Transfer;

    fn block_size(&self) -> BlockSize {
        self.block_size
    }

    fn block_count(&self) -> u64 {
        self.disk.geometry().sectors
    }

    fn writable(&self) -> bool {
        self.disk.geometry().access == Access::ReadWrite
    }

    fn poll_read_blocks(
        &mut self,
        state: &mut Transfer,
        cx: &mut Context<'_>,
        first: BlockIndex,
        octets: &mut [u8],
    ) -> Polled {
        ready!(self.poll_forsaken(cx));
        while state.done < octets.len() {
            let (sector, len) = self.piece(first, state.done, octets.len());
            let request = match &mut state.in_flight {
                Some(request) => request,
                idle => {
                    let buffer = buffer(sector, len)?;
                    idle.insert(self.disk.submit(Request::Read { sector, buffer }))
                }
            };
            let outcome = ready!(request.as_mut().poll(cx));
            state.in_flight = None;
            outcome.result.map_err(failed)?;
            let read = outcome.buffer.filter(|buffer| buffer.len() == len);
            let read = read.ok_or_else(|| failed(BlockError::Gone { sector }))?;
            octets[state.done..state.done + len].copy_from_slice(&read);
            state.done += len;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_blocks(
        &mut self,
        state: &mut Transfer,
        cx: &mut Context<'_>,
        first: BlockIndex,
        octets: &[u8],
    ) -> Polled {
        ready!(self.poll_forsaken(cx));
        while state.done < octets.len() {
            let (sector, len) = self.piece(first, state.done, octets.len());
            let request = match &mut state.in_flight {
                Some(request) => request,
                idle => {
                    let mut buffer = buffer(sector, len)?;
                    buffer.copy_from_slice(&octets[state.done..state.done + len]);
                    idle.insert(self.disk.submit(Request::Write { sector, buffer }))
                }
            };
            let outcome = ready!(request.as_mut().poll(cx));
            state.in_flight = None;
            outcome.result.map_err(failed)?;
            state.done += len;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, state: &mut Transfer, cx: &mut Context<'_>) -> Polled {
        ready!(self.poll_forsaken(cx));
        let disk = &self.disk;
        let request = state.in_flight.get_or_insert_with(|| disk.submit(Request::Flush));
        let outcome = ready!(request.as_mut().poll(cx));
        state.in_flight = None;
        Poll::Ready(outcome.result.map_err(failed))
    }

    fn cancel(&mut self, state: &mut Transfer) {
        // One at most: an operation begins no request while there is a forsaken one.
        if let Some(request) = state.in_flight.take() {
            self.forsaken = Some(request);
        }
    }
}
