//! Disks that fail, and that are slow where tasks are cancelled.

mod common;

use common::{Folder, MemoryDisk, output, pattern};
use fata_libos::block::{BlockDevice, BlockError, Disk, Geometry, InFlight, Outcome, Request, completion};
use fata_libos::task::{spawn, spawn_detached, yield_now};
use fata_libos::testing;
use fata_storage::fat::{Error, Format, Mode, Volume};
use std::cell::Cell;
use std::fs;
use std::rc::Rc;

fn check(folder: &Folder, disk: &MemoryDisk, when: &str) {
    let image = folder.at("checked");
    fs::write(&image, disk.octets()).unwrap();
    let checked = output("dosfstools", "fsck.fat", &["-n", &image]);
    assert!(checked.status.success(), "{when}: {}", String::from_utf8_lossy(&checked.stdout));
}

/// A disk whose request number so and so fails.
struct Failing {
    inner: MemoryDisk,
    left: Rc<Cell<usize>>,
}

impl BlockDevice for Failing {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn submit(&self, request: Request) -> InFlight {
        self.left.set(self.left.get().wrapping_sub(1));
        if self.left.get() == 0 {
            let error = BlockError::Failed { sector: request.sector(), status: 5 };
            return Box::pin(async move { Outcome::refused(request, error) });
        }
        self.inner.submit(request)
    }
}

async fn use_it(volume: &Volume) -> Result<(), Error> {
    volume.create_dir("/a new folder").await?;
    volume.write("/a new folder/a file with a long name", &pattern(9_000, 1)).await?;
    volume.write("/kept", &pattern(2_000, 2)).await?;
    volume.rename("/kept", "/a new folder/kept under another name").await?;
    volume.remove_file("/a new folder/a file with a long name").await?;
    volume.sync().await
}

/// Whichever request fails, it is said, and the volume is in order after a `sync` that does not.
#[test]
fn an_error_of_the_disk_is_said_and_undone() {
    let folder = Folder::new();
    let mut failed = 0;
    for n in 1.. {
        let inner = MemoryDisk::of(vec![0; 2 << 20], 512);
        let left = Rc::new(Cell::new(0));
        let disk = Disk::new(Failing { inner: inner.clone(), left: left.clone() });
        let result = testing::run(async {
            Format::new().write(&disk).await.unwrap();
            let volume = Volume::mount(disk.clone()).await.unwrap();
            left.set(n);
            let result = use_it(&volume).await;
            left.set(0);
            volume.sync().await.unwrap();
            result
        });
        check(&folder, &inner, &format!("request {n}, {result:?}"));
        match result {
            Ok(()) if n > 50 => break,
            // Such as what a copy of the table is written with: told by the next sync, and done again there.
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error, Error::Block(BlockError::Failed { status: 5, .. })), "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 50, "{failed}");
}

/// A disk that does requests by itself, some turns later, whoever waits for them. Two in flight could overtake each other: a
/// volume has none while one is under way whose task was cancelled.
struct Slow {
    inner: Disk,
    count: Cell<usize>,
    is_busy: Rc<Cell<bool>>,
}

impl BlockDevice for Slow {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn submit(&self, request: Request) -> InFlight {
        let (completer, in_flight) = completion();
        let (inner, is_busy) = (self.inner.clone(), self.is_busy.clone());
        assert!(!is_busy.replace(true), "{request:?} may overtake another");
        self.count.set(self.count.get() + 1);
        let turns = self.count.get() * 7 % 11;
        spawn_detached(async move {
            for _ in 0..turns {
                yield_now().await;
            }
            let outcome = inner.submit(request).await;
            is_busy.set(false);
            completer.complete(outcome);
        });
        in_flight
    }
}

/// Tasks that are dropped at any moment leave no handle behind, and a volume that is in order after the next `sync`.
#[test]
fn cancelled_tasks_leave_order() {
    let folder = Folder::new();
    let inner = MemoryDisk::of(vec![0; 8 << 20], 512);
    let disk = Disk::new(Slow { inner: inner.disk(), count: Cell::default(), is_busy: Rc::default() });
    testing::run(async {
        Format::new().write(&disk).await.unwrap();
        let volume = Volume::mount(disk.clone()).await.unwrap();
        volume.create_dir("/folder").await.unwrap();
        volume.write("/folder/kept", &pattern(20_000, 5)).await.unwrap();
        for turns in 0..1500 {
            let task = spawn({
                let volume = volume.clone();
                async move {
                    let name = format!("/folder/of turn {}", turns % 30);
                    volume.write(&name, &pattern(3_000, turns)).await?;
                    volume.rename(&name, "/folder/the last one").await?;
                    volume.write(&name, &pattern(1_000, turns)).await
                }
            });
            for _ in 0..turns {
                yield_now().await;
            }
            drop(task);
        }
        assert!(volume.read("/folder/kept", 1 << 20).await.unwrap() == pattern(20_000, 5));
        assert_eq!(volume.read("/folder/the last one", 1 << 20).await.unwrap().len(), 3000);
        volume.sync().await.unwrap();
    });
    check(&folder, &inner, "after 1500 cancelled tasks");
}

/// Whatever fails, what it held is given back: the table of what is held has 1024 places.
#[test]
fn handles_are_given_back() {
    let disk = MemoryDisk::of(vec![0; 4 << 20], 512);
    testing::run(async {
        Format::new().write(&disk.disk()).await.unwrap();
        let volume = Volume::mount(disk.disk()).await.unwrap();
        volume.create_dir("/folder").await.unwrap();
        let path = |n: usize| format!("/folder/{n}");
        for n in 0..1100 {
            volume.write(&path(n), b"x").await.unwrap();
            volume.open_with(&path(n), Mode::CreateNew).await.map(drop).unwrap_err();
            volume.open(&format!("{}/below", path(n))).await.map(drop).unwrap_err();
            volume.create_dir(&path(n)).await.unwrap_err();
            volume.remove_dir(&path(n)).await.unwrap_err();
            volume.open("/folder").await.map(drop).unwrap_err();
            volume.read_dir("/folder").await.unwrap().next().await.unwrap();
        }
        let mut held = Vec::new();
        let refused = loop {
            match volume.open(&path(held.len())).await {
                Ok(file) => held.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, Error::TooManyOpen { limit: 1024 });
        assert!(held.len() > 1000, "{}", held.len());
        held.pop();
        held.pop();
        volume.open(&path(1)).await.unwrap();
    });
}
