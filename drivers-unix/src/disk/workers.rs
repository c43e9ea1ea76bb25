//! The threads that wait for a file, in the loop's place.

use super::perform;
use crate::reactor::Reactor;
use fata_libos::block::{BlockError, InFlight, Outcome, Request};
use mio::Waker;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

/// Requests that the host has at once.
const THREADS: usize = 4;

struct Work {
    sector_size: usize,
    request: Request,
    done: async_channel::Sender<Outcome>,
}

/// Threads that share a queue, which ends with this value.
pub(super) struct Workers {
    queue: Sender<Work>,
}

impl Workers {
    pub(super) fn start(reactor: &Rc<Reactor>, file: Arc<File>) -> io::Result<Self> {
        let (queue, work) = mpsc::channel();
        let work = Arc::new(Mutex::new(work));
        for _ in 0..THREADS {
            let (file, work, alarm) = (file.clone(), work.clone(), reactor.alarm());
            thread::Builder::new().name("disk".to_owned()).spawn(move || serve(&file, &work, &alarm))?;
        }
        Ok(Self { queue })
    }

    pub(super) fn submit(&self, sector_size: usize, request: Request) -> InFlight {
        let (done, outcome) = async_channel::bounded(1);
        let sector = request.sector();
        let sent = self.queue.send(Work { sector_size, request, done });
        Box::pin(async move {
            if let Err(mpsc::SendError(work)) = sent {
                return Outcome::refused(work.request, BlockError::Gone { sector });
            }
            let gone = Outcome { result: Err(BlockError::Gone { sector }), buffer: None };
            outcome.recv().await.unwrap_or(gone)
        })
    }
}

/// Until the queue ends.
fn serve(file: &File, work: &Mutex<Receiver<Work>>, alarm: &Waker) {
    loop {
        let next = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).recv();
        let Ok(Work { sector_size, request, done }) = next else { return };
        // Nobody may wait for it any more.
        let _ = done.try_send(perform(file, sector_size, request));
        // Wakers only put tasks into the loop's queue: the loop may be asleep.
        let _ = alarm.wake();
    }
}
