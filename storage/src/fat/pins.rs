//! Nodes of the file system that something holds, given back when that is dropped: also when a task is cancelled.

use super::device::Device;
use crate::lock::{Guard, Lock};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use hadris_fat::async_::FatFs;
use hadris_fs::NodeId;

pub type Fs = FatFs<Device>;

/// What handles of a volume share.
pub struct Shared {
    pub fs: Lock<Fs>,
    /// Dropping cannot wait: what was dropped is let go of by the next operation. As many as there were pins, at most.
    dropped: RefCell<Vec<Dropped>>,
    /// Whether the disk has keys.
    is_secret: bool,
}

enum Dropped {
    Pinned(NodeId),
    Open(NodeId),
}

/// A hold on a node.
pub struct Pin {
    pub node: NodeId,
    is_open: Cell<bool>,
    shared: Rc<Shared>,
}

impl Shared {
    pub fn new(fs: Fs, is_secret: bool) -> Self {
        Self { fs: Lock::new(fs), dropped: RefCell::default(), is_secret }
    }

    /// Has the file system's own buffer, which the last octets of a file go through, hold nothing of a file any more.
    pub async fn forget_content(&self, fs: &mut Fs) {
        if self.is_secret
            && let Err(error) = fs.read_raw(0, &mut [0]).await
        {
            log::warn!("fat: what was read of a file stays in memory: {error}");
        }
    }

    /// The file system, once nobody else has it and what was dropped is let go of.
    pub async fn lock(&self) -> Guard<'_, Fs> {
        let mut fs = self.fs.lock().await;
        loop {
            let dropped = self.dropped.borrow_mut().pop();
            match dropped {
                Some(Dropped::Pinned(node)) => fs.forget(node, 1),
                Some(Dropped::Open(node)) => {
                    // First: this may be cancelled, and is no longer open then.
                    self.dropped.borrow_mut().push(Dropped::Pinned(node));
                    if let Err(error) = fs.close(node).await {
                        log::warn!("fat: the size of a file that was dropped is not written: {error}");
                    }
                }
                None => return fs,
            }
        }
    }
}

impl Pin {
    /// Holds a node that the file system has just pinned.
    pub fn new(shared: &Rc<Shared>, node: NodeId) -> Self {
        Self { node, is_open: Cell::new(false), shared: shared.clone() }
    }

    /// It was opened as well, or closed.
    pub fn set_open(&self, is_open: bool) {
        self.is_open.set(is_open);
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let dropped = if self.is_open.get() { Dropped::Open(self.node) } else { Dropped::Pinned(self.node) };
        self.shared.dropped.borrow_mut().push(dropped);
    }
}
