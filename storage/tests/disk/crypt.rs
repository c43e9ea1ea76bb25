//! What is encrypted, and what stands on it.

use fata_libos::block::Buffer;
use fata_libos::testing::run;
use fata_storage::disk::{Crypt, KeyError};
use fata_storage::kv::{Error, Options, Store};
use fata_storage::testing::SimDisk;

fn key(len: u8) -> Vec<u8> {
    (0..len).collect()
}

#[test]
fn the_disk_has_other_octets_and_the_same_key_brings_them_back() {
    for (size, len) in [(512, 32), (4096, 64)] {
        run(async {
            let disk = SimDisk::new(size, 100).disk();
            let plain = Crypt::new(&disk, &key(len)).unwrap().disk();
            let octets = vec![7; 3 * size];
            let back = plain.write(5, Buffer::copy_of(&octets)).await.unwrap();
            assert_eq!(&back[..], octets, "the caller's buffer is as it was");
            let stored = disk.read(5, 3).await.unwrap();
            let sectors: Vec<&[u8]> = stored.chunks(size).collect();
            assert!(sectors[0] != sectors[1] && sectors[1] != sectors[2] && sectors[0] != &octets[..size]);
            assert_eq!(&plain.read(6, 2).await.unwrap()[..], &octets[size..]);
            let other = Crypt::new(&disk, &key(len).into_iter().rev().collect::<Vec<_>>()).unwrap();
            assert_ne!(&other.disk().read(5, 3).await.unwrap()[..], octets);
        });
    }
    let disk = SimDisk::new(512, 100).disk();
    assert_eq!(Crypt::new(&disk, &key(48)).err(), Some(KeyError::Length { octets: 48 }));
}

#[test]
fn a_store_on_an_encrypted_disk() {
    run(async {
        let disk = SimDisk::new(512, 8192).disk();
        let plain = Crypt::new(&disk, &key(64)).unwrap().disk();
        Store::format(&plain, &Options::default()).await.unwrap();
        let store = Store::open(&plain, Options::default()).await.unwrap();
        store.put("a", "secret").await.unwrap();
        store.close().await.unwrap();
        let without_key = Store::open(&disk, Options::default()).await.err();
        assert_eq!(without_key, Some(Error::NoStore));
        let store = Store::open(&plain, Options::default()).await.unwrap();
        assert_eq!(store.get("a").await, Ok(Some(b"secret".to_vec())));
    });
}
