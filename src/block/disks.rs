//! The block devices that are open, each once.

use super::Disk;
use crate::Result;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::task::{Context, Poll};
use fata_libos::task::WakerSet;

/// The block devices that are open, and those that somebody is opening. They are as many as the manifest has.
#[derive(Default)]
pub(crate) struct Disks {
    /// `None` stands for one that is being opened.
    list: RefCell<Vec<(&'static str, Option<Disk>)>>,
    /// Who waits for one that another task opens.
    waiting: WakerSet,
}

impl Disks {
    /// The device of that name. The first who asks opens it; others wait for that one, and try it themselves if it comes to nothing.
    pub(crate) async fn get(
        &self,
        name: &'static str,
        open: impl Future<Output = Result<Disk>>,
    ) -> Result<Disk> {
        if let Some(disk) = poll_fn(|cx| self.poll_open(name, cx)).await {
            return Ok(disk);
        }
        let opening = Opening { disks: self, name };
        let disk = open.await?;
        opening.end(&disk);
        Ok(disk)
    }

    /// The device, or nothing if it is the caller's to open.
    fn poll_open(&self, name: &'static str, cx: &Context<'_>) -> Poll<Option<Disk>> {
        let mut list = self.list.borrow_mut();
        match list.iter().find(|(known, _)| *known == name) {
            Some((_, Some(disk))) => Poll::Ready(Some(disk.clone())),
            Some((_, None)) => {
                self.waiting.register(cx);
                Poll::Pending
            }
            None => {
                list.push((name, None));
                Poll::Ready(None)
            }
        }
    }
}

/// That a device is being opened; whoever waits is woken when it is over, and so if the task that opens it is cancelled.
struct Opening<'a> {
    disks: &'a Disks,
    name: &'static str,
}

impl Opening<'_> {
    fn end(self, disk: &Disk) {
        let mut list = self.disks.list.borrow_mut();
        if let Some((_, place)) = list.iter_mut().find(|(known, _)| *known == self.name) {
            *place = Some(disk.clone());
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.disks.list.borrow_mut().retain(|(known, disk)| *known != self.name || disk.is_some());
        self.disks.waiting.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Disks;
    use crate::Result;
    use alloc::rc::Rc;
    use core::cell::Cell;
    use fata_libos::block::{Access, BlockDevice, Disk, Geometry, InFlight, Request};
    use fata_libos::spawn;
    use fata_libos::time::{Duration, sleep};

    struct Nothing;

    impl BlockDevice for Nothing {
        fn geometry(&self) -> Geometry {
            Geometry::new(512, 7, Access::ReadOnly)
        }
        fn submit(&self, request: Request) -> InFlight {
            panic!("{request:?}")
        }
    }

    /// Opens a device in a second, and fails so often before.
    async fn open(disks: Rc<Disks>, failures: Rc<Cell<usize>>, opened: Rc<Cell<usize>>) -> Result<Disk> {
        let slowly = async {
            sleep(Duration::from_secs(1)).await;
            if let Some(left) = failures.get().checked_sub(1) {
                failures.set(left);
                return Err("it is missing".into());
            }
            opened.set(opened.get() + 1);
            Ok(Disk::new(Nothing))
        };
        disks.get("data", slowly).await
    }

    #[test]
    fn tasks_that_ask_at_once_get_the_same() {
        for (failures, expected) in [(0, 3), (1, 2), (3, 0)] {
            fata_libos::testing::run(async {
                let (disks, opened) = (Rc::new(Disks::default()), Rc::new(Cell::new(0)));
                let failures = Rc::new(Cell::new(failures));
                let task = || spawn(open(disks.clone(), failures.clone(), opened.clone()));
                // Of these one is cancelled while it opens the device.
                let (cancelled, tasks) = (task(), [task(), task(), task()]);
                sleep(Duration::from_millis(500)).await;
                drop(cancelled);
                let mut got = 0;
                for task in tasks {
                    got += usize::from(task.await.is_ok());
                }
                assert_eq!((got, opened.get()), (expected, expected.min(1)));
            });
        }
    }
}
