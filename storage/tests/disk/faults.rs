//! A store on a device that fails.

use fata_libos::block::BlockError;
use fata_libos::testing::run;
use fata_storage::disk::{Fault, Faults};
use fata_storage::kv::{Error, Options, Store};
use fata_storage::testing::SimDisk;

async fn store() -> (SimDisk, Faults, Store) {
    let disk = SimDisk::new(4096, 512);
    let faults = Faults::new(&disk.disk());
    Store::format(&faults.disk(), &Options::default()).await.unwrap();
    let store = Store::open(&faults.disk(), Options::default()).await.unwrap();
    (disk, faults, store)
}

#[test]
fn after_a_flush_that_failed_the_store_takes_no_writes() {
    run(async {
        let (disk, faults, store) = store().await;
        store.put("before", "1").await.unwrap();
        faults.add(Fault::Flush { after: 1 });
        store.put("served", "2").await.unwrap();
        let failed = BlockError::Failed { sector: 0, status: 5 };
        assert_eq!(store.put("in doubt", "3").await, Err(Error::Block(failed)));
        assert_eq!(store.put("after", "4").await, Err(Error::Failed));
        assert_eq!(store.get("served").await, Ok(Some(b"2".to_vec())));
        assert_eq!(store.get("in doubt").await, Ok(None), "it was denied");
        assert_eq!(store.close().await, Err(Error::Failed));
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert_eq!(store.get("served").await, Ok(Some(b"2".to_vec())));
        assert_eq!(store.get("after").await, Ok(None));
        store.put("after", "5").await.unwrap();
    });
}

#[test]
fn a_write_that_is_torn_is_written_elsewhere() {
    run(async {
        let (disk, faults, store) = store().await;
        store.put("before", "1").await.unwrap();
        faults.add(Fault::Torn { after: 0, sectors: 1 });
        store.put("torn", vec![9; 20_000]).await.unwrap();
        store.put("behind", "2").await.unwrap();
        assert_eq!(store.stats().bad_writes, 1);
        core::mem::forget(store);
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert_eq!(store.get("torn").await, Ok(Some(vec![9; 20_000])));
        assert_eq!(store.get("behind").await, Ok(Some(b"2".to_vec())));
        assert_eq!(store.get("before").await, Ok(Some(b"1".to_vec())));
    });
}

#[test]
fn a_device_that_goes_away_is_an_error_to_everybody_who_waits() {
    run(async {
        let (disk, faults, store) = store().await;
        store.put("a", "1").await.unwrap();
        store.checkpoint().await.unwrap();
        faults.add(Fault::Gone { after: 0 });
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let store = store.clone();
                fata_libos::spawn(async move { store.put(format!("{n}"), "x").await })
            })
            .collect();
        for task in tasks {
            assert!(matches!(task.await, Err(Error::Block(BlockError::Gone { .. }) | Error::Failed)));
        }
        assert_eq!(store.checkpoint().await, Err(Error::Failed));
        assert_eq!(store.close().await, Err(Error::Failed));
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert_eq!(store.get("a").await, Ok(Some(b"1".to_vec())));
    });
}
