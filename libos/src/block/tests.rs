//! What is refused before a device sees it, and the memory of buffers.

use super::*;

fn read(sector: u64, octets: usize) -> Request {
    Request::Read { sector, buffer: Buffer::zeroed(octets) }
}

fn write(sector: u64, octets: usize) -> Request {
    Request::Write { sector, buffer: Buffer::zeroed(octets) }
}

#[test]
fn what_leaves_the_device_is_refused() {
    let g = Geometry::new(512, 100, Access::ReadWrite);
    assert_eq!(g.octets(), 51_200);
    for good in [read(0, 51_200), read(99, 512), read(100, 0), write(92, 4096), Request::Flush] {
        assert_eq!(g.check(&good), Ok(()), "{good:?}");
    }
    let beyond = |sector, count| Err(BlockError::OutOfRange { sector, count, sectors: 100 });
    assert_eq!(g.check(&read(100, 512)), beyond(100, 1));
    assert_eq!(g.check(&write(93, 4096)), beyond(93, 8));
    assert_eq!(g.check(&read(u64::MAX, 512)), beyond(u64::MAX, 1));
    assert_eq!(g.check(&Request::Discard { sector: 1, count: u64::MAX }), beyond(1, u64::MAX));
}

#[test]
fn what_the_device_does_not_do_is_refused() {
    let mut g = Geometry::new(4096, 100, Access::ReadOnly);
    assert_eq!(g.check(&read(3, 512)), Err(BlockError::Length { sector: 3, octets: 512, sector_size: 4096 }));
    assert_eq!(g.check(&write(3, 4096)), Err(BlockError::ReadOnly { sector: 3 }));
    let discard = Request::Discard { sector: 4, count: 2 };
    assert_eq!(g.check(&discard), Err(BlockError::ReadOnly { sector: 4 }));
    g.access = Access::ReadWrite;
    assert_eq!(g.check(&discard), Err(BlockError::Unsupported { sector: 4 }));
    g.discard = Discard::Supported;
    assert_eq!(g.check(&discard), Ok(()));
}

#[test]
fn buffers_have_their_pages_to_themselves() {
    let mut buffers: Vec<Buffer> = [0, 1, 512, 4096, 4097, 100_000].map(Buffer::zeroed).into();
    for buffer in &mut buffers {
        assert_eq!(buffer.start().as_ptr() as usize % 4096, 0);
        assert!(buffer.iter().all(|octet| *octet == 0));
        buffer.fill(7);
    }
    assert_eq!(&*Buffer::copy_of(b"two pages"), b"two pages");
    assert!(Buffer::try_zeroed(isize::MAX as usize - 8192).is_none());
}

/// A device that is never asked.
struct Untouched(Geometry);

impl BlockDevice for Untouched {
    fn geometry(&self) -> Geometry {
        self.0
    }
    fn submit(&self, request: Request) -> InFlight {
        panic!("{request:?} gets here")
    }
}

#[test]
fn no_memory_is_asked_for_what_the_device_does_not_have() {
    crate::testing::run(async {
        let disk = Disk::new(Untouched(Geometry::new(512, 100, Access::ReadWrite)));
        for (sector, count) in [(0, 101), (99, 2), (u64::MAX, 1), (0, usize::MAX)] {
            let beyond = BlockError::OutOfRange { sector, count: count as u64, sectors: 100 };
            assert_eq!(disk.read(sector, count).await.err(), Some(beyond));
        }
    });
}
