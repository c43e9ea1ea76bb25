//! A disk with checksums gives what was written or an error, whatever happens to the disk under it.

use fata_libos::block::{BlockError, Buffer, Discard, Disk};
use fata_libos::task::spawn;
use fata_libos::testing::run;
use fata_storage::disk::checksum::{Error, MISMATCH};
use fata_storage::disk::{Checksum, Fault, Faults};
use fata_storage::kv::{Options, Store};
use fata_storage::testing::SimDisk;

const MEMORY: usize = 16 << 10;

async fn formatted(size: usize, sectors: u64) -> (SimDisk, Disk) {
    let sim = SimDisk::new(size, sectors);
    Checksum::format(&sim.disk()).await.unwrap();
    let disk = Checksum::open(&sim.disk(), MEMORY).await.unwrap().disk();
    (sim, disk)
}

async fn sector(disk: &Disk, sector: u64) -> Result<Vec<u8>, BlockError> {
    disk.read(sector, 1).await.map(|octets| octets.to_vec())
}

#[test]
fn what_is_written_is_read_and_the_rest_is_zeros() {
    run(async {
        for (size, sectors, data) in [(512, 1000, 983), (4096, 1000, 997), (512, 3, 1)] {
            let sim = SimDisk::new(size, sectors);
            // What was there before is nobody's.
            for n in 0..sectors {
                sim.disk().write(n, Buffer::copy_of(&vec![0xee; size])).await.unwrap();
            }
            assert_eq!(Checksum::open(&sim.disk(), 0).await.err(), Some(Error::NoChecksums));
            Checksum::format(&sim.disk()).await.unwrap();
            let disk = Checksum::open(&sim.disk(), MEMORY).await.unwrap().disk();
            assert_eq!((disk.geometry().sectors, disk.geometry().discard), (data, Discard::Unsupported));
            let all = disk.read(0, data as usize).await.unwrap();
            assert!(all.iter().all(|octet| *octet == 0));
            let octets: Vec<u8> = (0..data as usize / 2 * size).map(|n| (n / 100) as u8).collect();
            disk.write(1.min(data - 1), Buffer::copy_of(&octets)).await.unwrap();
            disk.flush().await.unwrap();
            // Another opening, which keeps nothing from before.
            let disk = Checksum::open(&sim.disk(), 0).await.unwrap().disk();
            assert_eq!(&disk.read(1.min(data - 1), octets.len() / size).await.unwrap()[..], octets);
            assert!(sector(&disk, data).await.is_err());
        }
        let small = SimDisk::new(512, 2);
        let refused = Checksum::format(&small.disk()).await;
        assert_eq!(refused, Err(Error::TooSmall { sectors: 2, sector_size: 512 }));
    });
}

#[test]
fn an_octet_that_changed_costs_its_sector() {
    run(async {
        let (sim, disk) = formatted(512, 140).await;
        let value = |n: u64| vec![n as u8 + 1; 512];
        for n in 0..100 {
            disk.write(n, Buffer::copy_of(&value(n))).await.unwrap();
        }
        let count = disk.geometry().sectors;
        let first = 140 - count;
        assert_eq!((count, first), (136, 4));
        for octet in (0..140 * 512).step_by(37) {
            sim.flip(octet, 1 << (octet % 8));
            let disk = match Checksum::open(&sim.disk(), MEMORY).await {
                Ok(checksum) => checksum.disk(),
                Err(error) => {
                    assert_eq!((error, octet < 32), (Error::NoChecksums, true), "octet {octet}");
                    sim.flip(octet, 1 << (octet % 8));
                    continue;
                }
            };
            let hit = octet / 512;
            for n in 0..count {
                let lost = match hit {
                    0 => false,
                    1..4 => n / 63 == hit - 1,
                    _ => n == hit - first && n < 100,
                };
                let expected = match n {
                    _ if lost => Err(BlockError::Failed { sector: n, status: MISMATCH }),
                    0..100 => Ok(value(n)),
                    _ => Ok(vec![0; 512]),
                };
                assert_eq!(sector(&disk, n).await, expected, "octet {octet}");
            }
            sim.flip(octet, 1 << (octet % 8));
        }
    });
}

#[test]
fn a_long_read_says_which_sector_and_writing_it_again_mends_it() {
    run(async {
        let (sim, disk) = formatted(512, 500).await;
        disk.write(10, Buffer::copy_of(&[7; 200 * 512])).await.unwrap();
        // The first sector of data is the ninth of the disk.
        let place = 500 - disk.geometry().sectors;
        sim.flip((place + 150) * 512 + 9, 4);
        let damaged = BlockError::Failed { sector: 150, status: MISMATCH };
        assert_eq!(disk.read(0, 300).await.map(drop), Err(damaged));
        assert_eq!(&disk.read(10, 140).await.unwrap()[..], [7; 140 * 512]);
        // What is damaged does not become right because something is written beside it.
        disk.write(151, Buffer::copy_of(&[8; 512])).await.unwrap();
        assert_eq!(sector(&disk, 150).await, Err(damaged));
        disk.write(150, Buffer::copy_of(&[9; 512])).await.unwrap();
        assert_eq!(sector(&disk, 150).await.unwrap(), [9; 512]);
        // A sector that cannot be read is written as any other.
        sim.break_reads(place + 20);
        assert_eq!(sector(&disk, 20).await, Err(BlockError::Failed { sector: 20, status: 5 }));
        disk.write(19, Buffer::copy_of(&[3; 3 * 512])).await.unwrap();
        assert_eq!(&disk.read(18, 4).await.unwrap()[512..], [3; 3 * 512]);
    });
}

#[test]
fn the_same_octets_have_another_checksum_elsewhere() {
    run(async {
        let (sim, disk) = formatted(512, 100).await;
        disk.write(4, Buffer::copy_of(&[1; 1024])).await.unwrap();
        let sums = sim.disk().read(1, 1).await.unwrap();
        assert_ne!(sums[4 * 8 + 4..5 * 8], sums[5 * 8 + 4..6 * 8]);
    });
}

/// Content of each sector that a crash may leave.
#[test]
fn a_crash_at_any_moment_leaves_each_sector_old_or_new() {
    run(async {
        let (mut sim, _) = formatted(512, 80).await;
        sim.trace();
        let disk = Checksum::open(&sim.disk(), MEMORY).await.unwrap().disk();
        let sectors = disk.geometry().sectors as usize;
        // For each sector what it held, from when on it may, and from when on nothing earlier may be there.
        let mut history = vec![vec![(0usize, 0usize, 0u8)]; sectors];
        let mut unflushed: Vec<(usize, usize)> = Vec::new();
        for n in 1..60u64 {
            let first = (n * n * 7 % 61) as usize % (sectors - 4);
            let count = 1 + (n % 4) as usize;
            let octets: Vec<u8> = (0..count).flat_map(|_| [n as u8; 512]).collect();
            for (sector, states) in history.iter_mut().enumerate().skip(first).take(count) {
                unflushed.push((sector, states.len()));
                states.push((sim.moment(), usize::MAX, n as u8));
            }
            disk.write(first as u64, Buffer::copy_of(&octets)).await.unwrap();
            if n % 5 == 0 {
                disk.flush().await.unwrap();
                for (sector, state) in unflushed.drain(..) {
                    history[sector][state].1 = sim.moment();
                }
            }
        }
        let mut images = 0;
        for moment in 0..=sim.moment() {
            for (number, image) in sim.crashes(moment).iter().enumerate() {
                let disk = Checksum::open(&image.disk(), MEMORY).await.unwrap().disk();
                for (n, states) in history.iter().enumerate() {
                    let what = format!("moment {moment}, image {number}, sector {n}");
                    let found = sector(&disk, n as u64).await.unwrap_or_else(|e| panic!("{what}: {e}"));
                    let first = states.iter().rposition(|(_, flushed, _)| *flushed <= moment).unwrap_or(0);
                    let mut allowed = states[first..].iter().filter(|(begun, _, _)| *begun <= moment);
                    assert!(allowed.any(|(_, _, octet)| found == [*octet; 512]), "{what}: {}", found[0]);
                }
                images += 1;
            }
        }
        assert!(images > 1000, "{images}");
    });
}

#[test]
fn readers_beside_writers_see_no_mismatch() {
    run(async {
        let (sim, disk) = formatted(512, 300).await;
        sim.slow(3);
        let writers = (0..3u64).map(|writer| {
            let disk = disk.clone();
            spawn(async move {
                for n in 0..80u64 {
                    let octets = [(writer * 80 + n) as u8; 2 * 512];
                    disk.write((n * 13 + writer * 5) % 150, Buffer::copy_of(&octets)).await.unwrap();
                }
            })
        });
        let readers = (0..3u64).map(|reader| {
            let disk = disk.clone();
            spawn(async move {
                for n in 0..200u64 {
                    disk.read((n * 7 + reader) % 140, 9).await.unwrap();
                }
            })
        });
        for task in writers.chain(readers).collect::<Vec<_>>() {
            task.await;
        }
    });
}

#[test]
fn faults_of_the_disk_are_those_of_our_sectors() {
    run(async {
        let sim = SimDisk::new(512, 200);
        Checksum::format(&sim.disk()).await.unwrap();
        let faults = Faults::new(&sim.disk());
        let disk = Checksum::open(&faults.disk(), 0).await.unwrap().disk();
        let place = 200 - disk.geometry().sectors;
        disk.write(70, Buffer::copy_of(&[1; 512])).await.unwrap();
        for (fault, sector) in
            [(Fault::Write(place + 71..place + 72), 71), (Fault::Write(2..3), 70), (Fault::Read(2..3), 70)]
        {
            // Of the checksums one sector is kept, another one.
            sector_octet(&disk, 0).await;
            faults.add(fault.clone());
            let failed = disk.write(70, Buffer::copy_of(&[2; 3 * 512])).await.map(drop);
            assert_eq!(failed, Err(BlockError::Failed { sector, status: 5 }), "{fault:?}");
            faults.clear();
            // Old or new, but no mismatch.
            let found = sector_octet(&disk, 70).await;
            assert!(found == 1 || found == 2);
        }
        faults.add(Fault::Flush { after: 0 });
        assert!(disk.write(70, Buffer::copy_of(&[2; 512])).await.is_err());
        assert_eq!(sector_octet(&disk, 70).await, 1);
        faults.add(Fault::Torn { after: 1, sectors: 1 });
        assert!(disk.write(70, Buffer::copy_of(&[3; 2 * 512])).await.is_err());
        assert_eq!((sector_octet(&disk, 70).await, sector_octet(&disk, 71).await), (3, 0));
    });
}

async fn sector_octet(disk: &Disk, n: u64) -> u8 {
    sector(disk, n).await.unwrap()[0]
}

#[test]
fn a_store_on_a_disk_with_checksums() {
    run(async {
        let (sim, disk) = formatted(512, 8192).await;
        Store::format(&disk, &Options::default()).await.unwrap();
        let store = Store::open(&disk, Options::default()).await.unwrap();
        for n in 0..200u32 {
            store.put(n.to_be_bytes(), vec![n as u8; 700]).await.unwrap();
        }
        store.close().await.unwrap();
        let disk = Checksum::open(&sim.disk(), MEMORY).await.unwrap().disk();
        let store = Store::open(&disk, Options::default()).await.unwrap();
        assert!(store.check().await.unwrap().is_whole());
        assert_eq!(store.get(7u32.to_be_bytes()).await, Ok(Some(vec![7; 700])));
    });
}
