//! Sectors of a slice are those of the disk, and no others.

use fata_libos::block::{BlockError, Buffer};
use fata_libos::testing::run;
use fata_storage::disk::{Fault, Faults, Slice};
use fata_storage::testing::SimDisk;

#[test]
fn a_slice_reaches_its_own_sectors_alone() {
    run(async {
        let disk = SimDisk::new(512, 100).disk();
        let slice = Slice::new(&disk, 10, 20).unwrap().disk();
        assert_eq!(slice.geometry().sectors, 20);
        slice.write(19, Buffer::copy_of(&[7; 512])).await.unwrap();
        assert_eq!(&disk.read(29, 1).await.unwrap()[..], [7; 512]);
        let beyond = BlockError::OutOfRange { sector: 19, count: 2, sectors: 20 };
        assert_eq!(slice.read(19, 2).await.err(), Some(beyond));
        assert_eq!(slice.write(19, Buffer::zeroed(1024)).await.err(), Some(beyond));
        assert_eq!(&disk.read(30, 1).await.unwrap()[..], [0; 512]);
        slice.flush().await.unwrap();
    });
}

#[test]
fn a_slice_beyond_the_disk_is_refused() {
    let disk = SimDisk::new(512, 100).disk();
    assert!(Slice::new(&disk, 90, 10).is_ok());
    for (first, sectors) in [(90, 11), (101, 0), (u64::MAX, 2)] {
        let refused = BlockError::OutOfRange { sector: first, count: sectors, sectors: 100 };
        assert_eq!(Slice::new(&disk, first, sectors).err(), Some(refused));
    }
}

#[test]
fn errors_have_the_numbers_of_the_slice() {
    run(async {
        let faulty = Faults::new(&SimDisk::new(512, 100).disk());
        faulty.add(Fault::Read(15..16));
        let slice = Slice::new(&faulty.disk(), 10, 20).unwrap().disk();
        assert_eq!(slice.read(4, 4).await.err(), Some(BlockError::Failed { sector: 5, status: 5 }));
        assert!(slice.read(6, 4).await.is_ok());
    });
}

/// What was written to any of them may be lost with a flush that failed.
#[test]
fn all_slices_are_told_of_a_flush_that_failed() {
    run(async {
        let faults = Faults::new(&SimDisk::new(512, 100).disk());
        let disk = faults.disk();
        let [a, b, idle] = [0, 30, 60].map(|first| Slice::new(&disk, first, 30).unwrap().disk());
        let failed = Err(BlockError::Failed { sector: 0, status: 5 });
        for slice in [&a, &b] {
            slice.write(0, Buffer::zeroed(512)).await.unwrap();
        }
        faults.add(Fault::Flush { after: 0 });
        assert_eq!(a.flush().await, failed);
        assert_eq!(idle.flush().await, Ok(()), "it has lost nothing");
        assert_eq!(b.flush().await, failed, "another has been told, and this one not");
        // Once each.
        for slice in [&a, &b, &idle] {
            assert_eq!(slice.flush().await, Ok(()));
            slice.write(1, Buffer::zeroed(512)).await.unwrap();
            assert_eq!(slice.flush().await, Ok(()));
        }
        // What is written while nobody knows yet is none of those.
        faults.add(Fault::Flush { after: 0 });
        assert_eq!(a.flush().await, failed);
        b.write(2, Buffer::zeroed(512)).await.unwrap();
        assert_eq!(b.flush().await, Ok(()));
    });
}
