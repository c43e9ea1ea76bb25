//! A cache gives what the disk has, whatever goes on at once.

use fata_libos::block::Buffer;
use fata_libos::task::spawn;
use fata_libos::testing::run;
use fata_storage::disk::{Cache, Fault, Faults};
use fata_storage::testing::SimDisk;

#[test]
fn what_was_read_is_not_read_again_and_what_is_kept_is_bounded() {
    run(async {
        let faults = Faults::new(&SimDisk::new(512, 1000).disk());
        let cache = Cache::new(&faults.disk(), 100 * 512);
        let disk = cache.disk();
        disk.write(3, Buffer::copy_of(&[3; 1024])).await.unwrap();
        disk.read(3, 2).await.unwrap();
        faults.add(Fault::Read(0..1000));
        assert_eq!(&disk.read(4, 1).await.unwrap()[..], [3; 512]);
        assert!(disk.read(5, 1).await.is_err());
        faults.clear();
        for sector in 0..1000 {
            disk.read(sector, 1).await.unwrap();
        }
        assert_eq!(cache.stats().sectors, 100);
        disk.read(0, 1000).await.unwrap();
        assert_eq!(&disk.read(3, 2).await.unwrap()[..], [3; 1024]);
        assert_eq!(cache.stats().sectors, 100, "a long read leaves what is kept");
    });
}

#[test]
fn readers_never_see_what_a_write_that_ended_replaced() {
    run(async {
        let sim = SimDisk::new(512, 64);
        sim.slow(9);
        let cache = Cache::new(&sim.disk(), 64 * 512);
        let disk = cache.disk();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let disk = disk.clone();
                spawn(async move {
                    for n in 0..500 {
                        disk.read(n % 8, 1).await.unwrap();
                    }
                })
            })
            .collect();
        for n in 0..1000u64 {
            let (sector, octets) = (n % 8, [n as u8; 512]);
            if n % 5 == 4 {
                // A write that nobody waits for is done all the same.
                drop(disk.submit(fata_libos::block::Request::Write {
                    sector: 9,
                    buffer: Buffer::copy_of(&octets),
                }));
            }
            disk.write(sector, Buffer::copy_of(&octets)).await.unwrap();
            assert_eq!(&disk.read(sector, 1).await.unwrap()[..], octets, "write {n}");
        }
        for reader in readers {
            reader.await;
        }
        assert!(cache.stats().hits > 100);
    });
}
