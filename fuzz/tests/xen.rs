//! A hostile XenStore daemon, and a hostile network back end, on the fake hypervisor.

use std::mem::offset_of;
use std::rc::Rc;

use fata_fuzz::{fuzz, mutated};
use fata_libos::net::{NetDevice, TransmitMeta};
use fata_libos::spawn;
use fata_libos::task::yield_now;
use fata_libos::time::{Duration, sleep, timeout};
use fata_xen::abi::netif::{
    ExtraInfo, RxRequest, RxResponse, RxSlot, TxResponse, TxSlot, extra_type, rx_flags, status, tx_flags,
};
use fata_xen::abi::xs_wire::{
    XS_DIRECTORY, XS_ERROR, XS_READ, XS_TRANSACTION_START, XS_WATCH, XS_WATCH_EVENT, XS_WRITE,
    XenstoreDomainInterface, XsdSockmsg,
};
use fata_xen::fake::netback::{Delivery, FakeNetback, NetbackRings};
use fata_xen::fake::{FakeHypervisor, FakeXenstored, Replies, run};
use fata_xen::net::{Limits, Netfront, open_with};
use fata_xen::ring::{Message, layout};
use fata_xen::types::{DomId, GrantRef, PAGE_SIZE};
use fata_xen::xenbus::XenbusState;
use fata_xen::xenstore::XenStore;
use fata_xen::xenstore::wire::append_message;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const SOON: Duration = Duration::from_secs(1);
/// Of the index of the octets that the daemon has written.
const REPLIES_END: usize = offset_of!(XenstoreDomainInterface, rsp_prod);

/// Replies and events as a daemon sends them to the requests below, whose numbers are small.
fn replies() -> Vec<Vec<u8>> {
    let message = |kind, req_id, payload: &[u8]| {
        let mut bytes = Vec::new();
        append_message(&mut bytes, XsdSockmsg { r#type: kind, req_id, tx_id: 0, len: 0 }, &[payload]);
        bytes
    };
    let one_by_one = (1..=5).flat_map(|id| {
        [
            message(XS_READ, id, b"value"),
            message(XS_DIRECTORY, id, b"a\0b\0"),
            message(XS_ERROR, id, b"ENOENT\0"),
            message(XS_TRANSACTION_START, id, b"7\0"),
            message(XS_WRITE, id, b"OK\0"),
            message(XS_WATCH, id, b"OK\0"),
        ]
    });
    let events = [b"data\x001\0".as_slice(), b"data/x/y\x001\0", b"\x002\0", b"data\x00+1\0"];
    let mut all: Vec<_> = one_by_one.chain(events.map(|event| message(XS_WATCH_EVENT, 0, event))).collect();
    all.push(message(XS_READ, 2, &[b'v'; 4096]));
    all
}

#[test]
fn xenstore_daemons() {
    // With each message, perhaps, where the daemon says that its replies end.
    let end =
        prop_oneof![20 => Just(None), 1 => any::<u32>().prop_map(Some), 1 => (0..3000_u32).prop_map(Some)];
    fuzz(&vec((mutated(replies()), end), 1..24), |messages| {
        run(async |hv, xen| {
            let (daemon, store) = FakeXenstored::start(hv, &xen);
            let mut watch = store.watch("data").await.unwrap();
            daemon.set_replies(Replies::Held);
            let asking = spawn(ask(store.clone()));
            for (bytes, end) in &messages {
                daemon.send_raw(bytes);
                if let Some(end) = end {
                    daemon.page().store_u32(REPLIES_END, *end);
                    hv.peer_notify(daemon.port());
                }
                yield_now().await;
            }
            sleep(SOON).await;
            // Now the connection has broken, or an unfinished message waits for its rest, which never comes.
            let end = daemon.page().load_u32(REPLIES_END);
            daemon.page().store_u32(REPLIES_END, end.wrapping_add(1 << 20));
            hv.peer_notify(daemon.port());
            assert!(timeout(SOON, asking).await.is_ok(), "every caller gets an end");
            while timeout(SOON, watch.changed()).await.expect("and every watch").is_ok() {}
        });
    });
}

async fn ask(store: XenStore) {
    let _ = store.read("a").await;
    let _ = store.directory("a").await;
    let _ = store.transaction(async |t| t.write("b", "c").await).await;
    let _ = store.watch("d").await;
}

/// Slots of a ring of one page.
const REQUESTS: usize = 256;

/// What the back end, or the stack, does next.
#[derive(Clone, Debug)]
enum Step {
    Deliver { len: usize, flags: u16, offset: u16 },
    Joined(usize, ExtraInfo),
    RxRaw([u32; 2]),
    RxNearly(RxResponse),
    RxProducer(u32),
    Take,
    TxRaw(u32),
    TxProducer(u32),
    FrontKey(&'static str, String),
    BackKey(&'static str, String),
    State(u8),
    Unplug,
    Remove,
    Plug(u8),
    Send(usize),
    SendToBeCut(usize, usize),
    Receive,
    Flush,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let value =
        prop_oneof!["[0-9]{0,3}", "[0-9]{8,12}", "-?[0-9a-f:]{0,20}", "/local/domain/[0-9]/x", "\\PC{0,8}"];
    let front = select(&["mac", "mtu", "backend", "state", "handle"][..]);
    let back = select(
        &[
            "feature-sg",
            "feature-rx-copy",
            "feature-split-event-channels",
            "feature-ctrl-ring",
            "feature-gso-tcpv4",
            "feature-gso-tcpv6",
            "multi-queue-max-queues",
            "state",
            "online",
            "mtu",
        ][..],
    );
    let nearly = (0..3_u16, 0..4100_u16, 0..32_u16, -3..4100_i16).prop_map(|(id, offset, flags, status)| {
        Step::RxNearly(RxResponse { id: id / 2, offset, flags, status })
    });
    // Most steps keep to the rules, or no run would get far.
    prop_oneof![
        12 => (14..9000_usize, 0..4_u16, prop_oneof![Just(0_u16), 0..4000_u16])
            .prop_map(|(len, flags, offset)| Step::Deliver { len, flags, offset }),
        6 => (14..65_000_usize, joined()).prop_map(|(len, extra)| Step::Joined(len, extra)),
        12 => Just(Step::Take),
        12 => (1..9100_usize).prop_map(Step::Send),
        6 => (54..65_600_usize, 0..1600_usize).prop_map(|(len, size)| Step::SendToBeCut(len, size)),
        12 => Just(Step::Receive),
        12 => Just(Step::Flush),
        8 => (0..2000_u64).prop_map(Step::Wait),
        1 => any::<[u32; 2]>().prop_map(Step::RxRaw),
        3 => nearly,
        1 => any::<u32>().prop_map(Step::RxProducer),
        1 => any::<u32>().prop_map(Step::TxRaw),
        1 => any::<u32>().prop_map(Step::TxProducer),
        1 => (front, value.clone()).prop_map(|(key, value)| Step::FrontKey(key, value)),
        // The fake stays where it is: another domain's number would be nobody's lie but the test's.
        1 => select(&["", "x", "-1", "3 ", "70000"][..]).prop_map(|id| Step::FrontKey("backend-id", id.into())),
        1 => (back, value).prop_map(|(key, value)| Step::BackKey(key, value)),
        1 => (0..10_u8).prop_map(Step::State),
        1 => Just(Step::Unplug),
        1 => Just(Step::Remove),
        2 => (0..2_u8).prop_map(Step::Plug),
    ]
}

/// What is said of a packet that was put together, mostly as it should be.
fn joined() -> impl Strategy<Value = ExtraInfo> {
    let kind = prop_oneof![20 => Just(extra_type::GSO), 1 => any::<u8>()];
    let flags = prop_oneof![20 => Just(0), 1 => any::<u8>()];
    let body = prop_oneof![20 => (1..3_u8).prop_map(|kind| [0xa8, 5, kind, 0, 0, 0]), 1 => any::<[u8; 6]>()];
    (kind, flags, body).prop_map(|(kind, flags, body)| ExtraInfo { kind, flags, body })
}

const BACKEND: DomId = DomId(3);
/// What every octet is that the back end puts into a page: any other that arrives is from elsewhere.
const MARK: u8 = 0x5a;

/// A back end that goes on after it has said that it ends finds pages that it has no grant for any more, which the
/// hypervisor tells it. The fake's own `deliver` and `take_sent` are for one that keeps to the rules.
fn on_rings(step: &Step, hv: &'static FakeHypervisor, rings: &mut NetbackRings) {
    match *step {
        Step::Deliver { len, flags, offset } => deliver(hv, rings, len, flags, offset, None),
        Step::Joined(len, extra) => deliver(hv, rings, len, rx_flags::CSUM_BLANK, 0, Some(extra)),
        // Only into a slot whose request was taken, or the fake would trip over its own lie.
        Step::RxRaw(words) if rings.take_empty().is_some() => {
            rings.rx.response(RxSlot::from_words(words));
            rings.publish();
        }
        Step::RxNearly(response) => {
            if let Some(page) = rings.take_empty() {
                rings.rx.response(RxResponse { id: page.id.wrapping_add(response.id), ..response }.into());
                rings.publish();
            }
        }
        Step::RxProducer(index) => rings.rx.memory.store_u32(layout::RSP_PROD, index),
        Step::Take => {
            // As many as there can be: after a lie about the answers the fake too counts wrong.
            for _ in 0..REQUESTS {
                let Some(request) = rings.tx.request().map(TxSlot::request) else { break };
                let _ = hv.peer_copy_from(BACKEND, GrantRef(request.gref), request.offset.into(), &mut [0]);
                rings.answer([TxResponse { id: request.id, status: 0 }]);
                if request.flags & tx_flags::EXTRA_INFO != 0 && rings.tx.request().is_some() {
                    rings.answer([TxResponse { id: 0, status: status::NULL }]);
                }
            }
        }
        Step::TxRaw(word) if rings.tx.request().is_some() => rings.answer([TxResponse::from_words([word])]),
        Step::TxProducer(index) => rings.tx.memory.store_u32(layout::RSP_PROD, index),
        _ => {}
    }
}

/// Puts a frame into the guest's pages, as many as it takes, if there are so many, with extra info behind its first part.
fn deliver(
    hv: &'static FakeHypervisor,
    rings: &mut NetbackRings,
    mut len: usize,
    mut flags: u16,
    offset: u16,
    mut extra: Option<ExtraInfo>,
) {
    while let Some(RxRequest { id, gref, .. }) = rings.take_empty() {
        let part = len.min(PAGE_SIZE - usize::from(offset));
        len -= part;
        let copied = hv.peer_copy_to(BACKEND, GrantRef(gref), offset.into(), &vec![MARK; part]);
        let more = if len > 0 { rx_flags::MORE_DATA } else { 0 };
        let status = if copied.is_ok() { part as i16 } else { -1 };
        let follows = if extra.is_some() { rx_flags::EXTRA_INFO } else { 0 };
        rings.rx.response(RxResponse { id, offset, flags: flags | more | follows, status }.into());
        if let Some(extra) = extra.take().filter(|_| rings.take_empty().is_some()) {
            rings.rx.response(extra.into());
        }
        flags = 0;
        if len == 0 {
            break;
        }
    }
    rings.publish();
}

async fn take(
    number: usize,
    step: &Step,
    hv: &'static FakeHypervisor,
    net: &mut Netfront,
    back: &Rc<FakeNetback>,
) {
    match step {
        Step::FrontKey(key, value) => back.set_front_key(key, value),
        Step::BackKey(key, value) => back.set_back_key(key, value),
        Step::State(number) => back.show_state(XenbusState::from_key(&number.to_string())),
        Step::Unplug => back.unplug(),
        Step::Remove => back.remove(),
        Step::Plug(mac) => back.plug(*mac),
        Step::Send(len) => {
            let _ = net.transmit(*len, TransmitMeta::default(), &mut |buf| buf.fill(1));
        }
        Step::SendToBeCut(len, size) => {
            let _ = net.transmit(*len, TransmitMeta::segmented(*size), &mut |buf| {
                // IPv4 and TCP without options.
                buf.fill(1);
                buf[12..15].copy_from_slice(&[8, 0, 0x45]);
                (buf[23], buf[46]) = (6, 0x50);
            });
        }
        Step::Receive => receive(net),
        Step::Flush => net.flush(),
        Step::Wait(millis) => sleep(Duration::from_millis(*millis)).await,
        on_ring if back.is_connected() => {
            back.with_queue(number % back.queues(), |rings| on_rings(on_ring, hv, rings));
        }
        _ => {}
    }
}

fn receive(net: &mut Netfront) {
    let mut buf = vec![0; 70_000];
    while let Some(received) = net.receive(&mut buf) {
        // Pages start zeroed; what else is in them, the back end wrote.
        assert!(received.len <= buf.len() && buf.iter().all(|b| *b == MARK || *b == 0), "other memory");
    }
}

#[test]
fn network_back_ends() {
    fuzz(&vec(step(), 1..120), |steps| {
        run(async |hv, xen| {
            let (daemon, store) = FakeXenstored::start(hv, &xen);
            let back = FakeNetback::attach(hv, &daemon, BACKEND, 0);
            let limits = Limits { rx_pages: 128, tx_pages: 128, queues: 2 };
            let mut net = open_with(&xen, store, 0, limits).await.unwrap();
            for (number, step) in steps.iter().enumerate() {
                take(number, step, hv, &mut net, &back).await;
                yield_now().await;
            }
            // Whatever it did: what replaces it is served.
            back.remove();
            sleep(Duration::from_secs(60)).await;
            back.plug(0);
            let mut waited = 0;
            while !net.is_up() {
                waited += 1;
                assert!(waited < 100, "it never comes up again");
                sleep(Duration::from_secs(10)).await;
            }
            net.flush();
            assert!(back.with_rings(|rings| rings.deliver(&[MARK; 60], &Delivery::default())));
            let mut buf = vec![0; 70_000];
            assert_eq!(net.receive(&mut buf).map(|received| received.len), Some(60));
            drop(net);
            sleep(Duration::from_secs(60)).await;
            assert_eq!(xen.grants().counts().in_use, 0);
            assert_eq!((hv.live_pages(), hv.open_ports()), (1, 1));
        });
    });
}
