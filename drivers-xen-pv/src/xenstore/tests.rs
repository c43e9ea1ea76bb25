use super::{Errno, StoreError, StoreFault, XenStore};
use crate::abi::xs_wire::{
    XS_DIRECTORY, XS_ERROR, XS_READ, XS_TRANSACTION_START, XS_WATCH_EVENT, XsdSockmsg,
};
use crate::fake::{FakeXenstored, Replies, run};
use crate::shared::SharedMemory;
use fata_libos::spawn;
use fata_libos::task::yield_now;
use fata_libos::time::{Duration, sleep, timeout};
use std::rc::Rc;

const SOON: Duration = Duration::from_secs(1);

fn on_store<R>(test: impl AsyncFnOnce(Rc<FakeXenstored>, XenStore) -> R) -> R {
    run(async |hv, xen| {
        let (daemon, store) = FakeXenstored::start(hv, &xen);
        test(daemon, store).await
    })
}

fn refused<T>(errno: Errno) -> Result<T, StoreError> {
    Err(StoreError::Refused(errno))
}

#[test]
fn keys_are_read_written_listed_and_removed() {
    on_store(async |daemon, store| {
        assert_eq!(store.read("name").await, refused(Errno::ENOENT));
        daemon.write("name", "web");
        assert_eq!(store.read("name").await.unwrap(), "web");
        assert_eq!(store.read("/local/domain/5/name").await.unwrap(), "web");
        store.write("data/a", "1").await.unwrap();
        store.mkdir("data/b").await.unwrap();
        assert_eq!(daemon.read("data/a").unwrap(), "1");
        assert_eq!(store.directory("data").await.unwrap(), ["a", "b"]);
        assert_eq!(store.directory("data/b").await.unwrap(), [""; 0]);
        store.rm("data/a").await.unwrap();
        assert_eq!(store.directory("data").await.unwrap(), ["b"]);
        daemon.deny("secret");
        assert_eq!(store.read("secret/key").await, refused(Errno::EACCES));
    });
}

#[test]
fn requests_and_replies_longer_than_the_ring_go_through() {
    on_store(async |daemon, store| {
        let value = "v".repeat(4096 - 4);
        store.write("big", &value).await.unwrap();
        assert_eq!(store.read("big").await.unwrap(), value);
        assert_eq!(daemon.read("big").unwrap(), value);
        let too_long = store.write("big", &(value + "v")).await;
        assert_eq!(too_long, Err(StoreError::TooLong { len: 4097, limit: 4096 }));
    });
}

#[test]
fn many_tasks_ask_at_once_and_get_their_own_answers_whatever_the_order() {
    on_store(async |daemon, store| {
        for how in [Replies::InOrder, Replies::Reversed] {
            daemon.set_replies(how);
            let tasks: Vec<_> = (0..50)
                .map(|n| {
                    daemon.write(&format!("key/{n}"), &format!("value {n}"));
                    let store = store.clone();
                    spawn(async move { (n, store.read(&format!("key/{n}")).await) })
                })
                .collect();
            for task in tasks {
                let (n, value) = task.await;
                assert_eq!(value.unwrap(), format!("value {n}"));
            }
        }
    });
}

#[test]
fn requests_made_together_cost_one_notification_and_are_served_in_their_order() {
    run(async |hv, xen| {
        let (daemon, store) = FakeXenstored::start(hv, &xen);
        yield_now().await;
        hv.take_notified(daemon.port());
        let written = store.write("a", "1");
        let (first, second) = (store.read("a"), store.write("a", "2"));
        let (third, watch) = (store.read("a"), store.watch("a"));
        assert_eq!(hv.take_notified(daemon.port()), 0, "sent at the driver's turn");
        assert_eq!((first.await.as_deref(), third.await.as_deref()), (Ok("1"), Ok("2")));
        written.await.unwrap();
        second.await.unwrap();
        assert_eq!(watch.await.unwrap().changed().await.as_deref(), Ok("a"));
        assert_eq!(hv.take_notified(daemon.port()), 1);
    });
}

#[test]
fn a_watch_that_is_refused_or_given_up_is_none() {
    on_store(async |daemon, store| {
        daemon.deny("secret");
        assert_eq!(store.watch("secret").await.map(drop), refused(Errno::EACCES));
        drop(store.watch("a"));
        store.write("a", "1").await.unwrap();
        sleep(SOON).await;
        assert_eq!(daemon.watch_count(), 0);
    });
}

#[test]
fn a_request_that_was_given_up_disturbs_nobody() {
    on_store(async |daemon, store| {
        daemon.write("a", "1");
        daemon.set_replies(Replies::Held);
        assert!(timeout(SOON, store.read("a")).await.is_err());
        let transaction = store.transaction(async |_| Ok(()));
        assert!(timeout(SOON, transaction).await.is_err());
        daemon.set_replies(Replies::InOrder);
        assert_eq!(store.read("a").await.unwrap(), "1");
        sleep(SOON).await;
        assert_eq!(daemon.open_transactions(), 0, "nobody else would end it");
    });
}

#[test]
fn a_transaction_is_repeated_until_nobody_interferes() {
    on_store(async |daemon, store| {
        daemon.write("n", "7");
        daemon.conflict(3);
        let tries = std::cell::Cell::new(0);
        let add = async |t: &XenStore| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 {
                daemon.write("other", "dom0 was here");
            }
            let n: u32 = t.read("n").await?.parse().unwrap();
            t.write("n", &(n + 1).to_string()).await?;
            assert_eq!(daemon.read("n").unwrap(), "7", "not yet");
            Ok(n)
        };
        assert_eq!(store.transaction(add).await, Ok(7));
        assert_eq!((daemon.read("n").unwrap(), tries.get()), ("8".into(), 4));
        daemon.conflict(usize::MAX);
        let never = store.transaction(async |t| t.write("n", "9").await).await;
        assert_eq!(never, refused(Errno::EAGAIN));
        assert_eq!((daemon.read("n").unwrap(), daemon.open_transactions()), ("8".into(), 0));
    });
}

#[test]
fn an_error_in_a_transaction_takes_it_back() {
    on_store(async |daemon, store| {
        let failed = store.transaction(async |t| {
            t.write("half", "done").await?;
            t.read("absent").await
        });
        assert_eq!(failed.await, refused(Errno::ENOENT));
        store.write("after", "").await.unwrap();
        assert_eq!((daemon.read("half"), daemon.open_transactions()), (None, 0));
    });
}

#[test]
fn watches_fire_at_their_start_and_at_every_change_below() {
    on_store(async |daemon, store| {
        let mut one = store.watch("device").await.unwrap();
        let mut two = store.watch("device").await.unwrap();
        let mut absolute = store.watch("/local/domain/5/device/vif").await.unwrap();
        assert_eq!(one.changed().await.unwrap(), "device");
        assert_eq!(two.changed().await.unwrap(), "device");
        assert_eq!(absolute.changed().await.unwrap(), "/local/domain/5/device/vif");
        daemon.write("devices", "not below");
        daemon.write("device/vif/0/state", "1");
        for watch in [&mut one, &mut two] {
            assert_eq!(watch.changed().await.unwrap(), "device/vif/0/state");
        }
        assert_eq!(absolute.changed().await.unwrap(), "/local/domain/5/device/vif/0/state");
        daemon.rm("device");
        assert_eq!(one.changed().await.unwrap(), "device");
        assert!(timeout(SOON, one.changed()).await.is_err());
        drop((one, absolute));
        sleep(SOON).await;
        assert_eq!(daemon.watch_count(), 1);
        daemon.write("device", "x");
        assert_eq!(two.changed().await.unwrap(), "device");
    });
}

#[test]
fn a_watch_that_nobody_reads_stays_small_and_loses_nothing() {
    on_store(async |daemon, store| {
        let mut watch = store.watch("data").await.unwrap();
        watch.changed().await.unwrap();
        for _ in 0..1000 {
            daemon.write("data/same", "x");
        }
        sleep(SOON).await;
        assert_eq!(watch.changed().await.unwrap(), "data/same");
        assert!(timeout(SOON, watch.changed()).await.is_err(), "told once");
        for n in 0..33 {
            daemon.write(&format!("data/{n}"), "x");
        }
        sleep(SOON).await;
        assert_eq!(watch.changed().await.unwrap(), "data", "look at all of it");
        assert!(timeout(SOON, watch.changed()).await.is_err());
    });
}

#[test]
fn a_watch_given_up_while_it_is_set_is_ended() {
    on_store(async |daemon, store| {
        daemon.set_replies(Replies::Held);
        assert!(timeout(SOON, store.watch("data")).await.is_err());
        daemon.set_replies(Replies::InOrder);
        daemon.deny("secret");
        assert_eq!(store.watch("secret").await.map(drop), refused(Errno::EACCES));
        sleep(SOON).await;
        assert_eq!(daemon.watch_count(), 0);
    });
}

/// Breaks the connection while a request and a watch wait; both, and later requests, get the same fault.
fn breaks(expected: StoreFault, how: impl FnOnce(&FakeXenstored, SharedMemory)) {
    on_store(async |daemon, store| {
        let mut watch = store.watch("data").await.unwrap();
        watch.changed().await.unwrap();
        daemon.set_replies(Replies::Held);
        let waiting = spawn({
            let store = store.clone();
            async move { store.read("a").await }
        });
        sleep(SOON).await;
        how(&daemon, daemon.page());
        let broken = || Err::<String, _>(StoreError::Broken(expected));
        assert_eq!(timeout(SOON, waiting).await.unwrap(), broken());
        assert_eq!(timeout(SOON, watch.changed()).await.unwrap(), broken());
        assert_eq!(timeout(SOON, store.read("b")).await.unwrap(), broken());
        assert_eq!(store.watch("b").await.map(drop), broken().map(drop));
        yield_now().await;
    });
}

fn message(kind: u32, id: u32) -> XsdSockmsg {
    XsdSockmsg { r#type: kind, req_id: id, tx_id: 0, len: 0 }
}

/// Number of the request that `breaks` has in flight: the watch is the first.
const IN_FLIGHT: u32 = 2;

#[test]
fn a_reply_to_nothing_breaks_the_connection() {
    for id in [0, 1, 3, u32::MAX] {
        let fault = StoreFault::UnknownRequest { id, kind: XS_READ };
        breaks(fault, |daemon, _| daemon.send_message(message(XS_READ, id), b"value"));
        let fault = StoreFault::UnknownRequest { id, kind: XS_ERROR };
        breaks(fault, |daemon, _| daemon.send_message(message(XS_ERROR, id), b"ENOENT\0"));
    }
}

#[test]
fn a_reply_of_another_type_breaks_the_connection() {
    let fault = StoreFault::OtherType { id: IN_FLIGHT, expected: XS_READ, seen: XS_DIRECTORY };
    breaks(fault, |daemon, _| daemon.send_message(message(XS_DIRECTORY, IN_FLIGHT), b"a\0"));
}

#[test]
fn malformed_messages_break_the_connection() {
    use super::wire::WireFault;
    let fault = WireFault::Malformed { kind: XS_WATCH_EVENT, len: 4 };
    breaks(fault.into(), |daemon, _| daemon.send_message(message(XS_WATCH_EVENT, 0), b"path"));
    let fault = WireFault::TooLong { kind: XS_READ, len: 5000 };
    breaks(fault.into(), |daemon, _| {
        let mut header = super::wire::encode_header(&message(XS_READ, IN_FLIGHT)).to_vec();
        header[12..].copy_from_slice(&5000u32.to_le_bytes());
        daemon.send_raw(&header);
    });
}

#[test]
fn impossible_indices_break_the_connection() {
    use crate::byte_ring::IndexFault;
    use crate::hypervisor::Hypervisor;
    use crate::xenstore::REPLIES;
    run(async |hv, xen| {
        let (daemon, store) = FakeXenstored::start(hv, &xen);
        daemon.page().store_u32(REPLIES.producer, 1025);
        hv.peer_notify(daemon.port());
        let fault = IndexFault { size: 1024, producer: 1025, consumer: 0 };
        assert_eq!(store.read("a").await, Err(StoreError::Broken(fault.into())));
        hv.evtchn_notify(daemon.port());
    });
    run(async |hv, xen| {
        let (daemon, store) = FakeXenstored::start(hv, &xen);
        store.write("a", "b").await.unwrap();
        let producer = daemon.page().load_u32(super::REQUESTS.producer);
        daemon.page().store_u32(super::REQUESTS.consumer, producer.wrapping_sub(1025));
        let broken = store.read("a").await;
        assert!(matches!(broken, Err(StoreError::Broken(StoreFault::Index(_)))), "{broken:?}");
    });
}

#[test]
fn an_empty_answer_to_a_transactions_start_is_an_error() {
    on_store(async |daemon, store| {
        daemon.set_replies(Replies::Held);
        let waiting = spawn({
            let store = store.clone();
            async move { store.transaction(async |_| Ok(())).await }
        });
        sleep(SOON).await;
        daemon.send_message(message(XS_TRANSACTION_START, 1), b"");
        assert!(matches!(waiting.await, Err(StoreError::Broken(_))));
    });
}

#[test]
fn an_error_that_nobody_knows_is_still_an_error() {
    on_store(async |daemon, store| {
        daemon.set_replies(Replies::Held);
        let waiting = spawn(async move { store.read("a").await });
        sleep(SOON).await;
        daemon.send_message(message(XS_ERROR, 1), b"EWHATEVER\0");
        assert_eq!(waiting.await, refused(Errno::Unknown));
    });
}

#[test]
fn an_event_of_no_watch_is_nobodys() {
    on_store(async |daemon, store| {
        daemon.write("a", "1");
        daemon.send_message(message(XS_WATCH_EVENT, 0), b"path\x0099\0");
        sleep(SOON).await;
        assert_eq!(store.read("a").await.unwrap(), "1");
    });
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn whatever_the_daemon_sends_every_caller_gets_an_end(
        messages in proptest::collection::vec((0u32..24, 0u32..6, proptest::collection::vec(0u8.., 0..40)), 0..12),
        noise in proptest::collection::vec(0u8.., 0..64),
        producer in proptest::option::of(0u32..),
    ) {
        on_store(async |daemon, store| {
            let mut watch = store.watch("data").await.unwrap();
            daemon.set_replies(Replies::Held);
            let asking = spawn({
                let store = store.clone();
                async move {
                    let _ = store.read("a").await;
                    let _ = store.transaction(async |t| t.write("b", "c").await).await;
                }
            });
            for (kind, id, payload) in &messages {
                daemon.send_message(message(*kind, *id), payload);
                yield_now().await;
            }
            daemon.send_raw(&noise);
            if let Some(producer) = producer {
                daemon.page().store_u32(super::REPLIES.producer, producer);
            }
            sleep(SOON).await;
            // Now the connection has broken, or an unfinished message waits for its rest, which never comes.
            daemon.set_replies(Replies::InOrder);
            daemon.send_raw(&[0xff; 2 * 4096]);
            assert!(timeout(SOON, asking).await.is_ok());
            while timeout(SOON, watch.changed()).await.expect("an end").is_ok() {}
            assert!(matches!(store.read("a").await, Err(StoreError::Broken(_))));
        });
    }
}
