use super::{Backend, Device, DeviceList, XenbusState, devices};
use crate::fake::{FakeXenstored, run};
use crate::types::DomId;
use crate::xenstore::{Errno, StoreError, XenStore};
use fata_libos::time::{Duration, timeout};
use std::rc::Rc;

const SOON: Duration = Duration::from_secs(1);
const BACK: &str = "/local/domain/3/backend/vif/5/0";

fn on_vif<R>(test: impl AsyncFnOnce(Rc<FakeXenstored>, XenStore, Device) -> R) -> R {
    run(async |hv, xen| {
        let (daemon, store) = FakeXenstored::start(hv, &xen);
        daemon.write("device/vif/0/backend", BACK);
        daemon.write("device/vif/0/backend-id", "3");
        daemon.write("device/vif/0/state", "1");
        daemon.write(&format!("{BACK}/state"), "2");
        let device = Device::new(&store, "vif", 0);
        test(daemon, store, device).await
    })
}

#[test]
fn states_are_numbers_and_what_is_none_is_unknown() {
    for (n, state) in XenbusState::ALL.into_iter().enumerate() {
        assert_eq!(state.to_string(), n.to_string());
        assert_eq!(XenbusState::from_key(&n.to_string()), state);
    }
    for odd in ["", "9", "-1", "4 ", "Connected", "18446744073709551616"] {
        assert_eq!(XenbusState::from_key(odd), XenbusState::Unknown, "{odd:?}");
    }
}

#[test]
fn keys_have_types() {
    on_vif(async |daemon, _, device| {
        device.write("tx-ring-ref", 17).await.unwrap();
        assert_eq!(daemon.read("device/vif/0/tx-ring-ref").unwrap(), "17");
        assert_eq!(device.read::<u32>("tx-ring-ref").await, Ok(17));
        let bad = StoreError::bad_value("device/vif/0/backend".into(), BACK.into(), "u32");
        assert_eq!(device.read::<u32>("backend").await, Err(bad));
        assert_eq!(device.read_optional::<u32>("mtu").await, Ok(None));
        let backend = device.backend().await.unwrap();
        daemon.write(&format!("{BACK}/feature-sg"), "1");
        daemon.write(&format!("{BACK}/feature-no"), "0");
        let mut features = Vec::new();
        for key in ["feature-sg", "feature-no", "feature-absent"] {
            features.push(backend.has_feature(key).await.unwrap());
        }
        assert_eq!(features, [true, false, false]);
    });
}

#[test]
fn a_backend_is_a_path_and_a_domain() {
    on_vif(async |daemon, _, device| {
        let backend = device.backend().await.unwrap();
        assert_eq!((backend.domid(), backend.path()), (DomId(3), BACK));
        for (key, bad) in
            [("backend-id", "three"), ("backend-id", "32752"), ("backend-id", "-1"), ("backend", "vif/0")]
        {
            let key = format!("device/vif/0/{key}");
            let good = daemon.read(&key).unwrap();
            daemon.write(&key, bad);
            let seen = device.backend().await.map(|_| ());
            assert!(matches!(seen, Err(StoreError::BadValue { .. })), "{key} = {bad}: {seen:?}");
            daemon.write(&key, &good);
        }
        daemon.rm("device/vif/0");
        assert!(device.backend().await.map(|_| ()).unwrap_err().is_absent());
    });
}

#[test]
fn a_state_is_shown_unless_the_device_is_gone() {
    on_vif(async |daemon, _, device| {
        device.switch_state(XenbusState::Connected).await.unwrap();
        assert_eq!(daemon.read("device/vif/0/state").unwrap(), "4");
        daemon.rm("device/vif/0");
        let gone = device.switch_state(XenbusState::Closed).await;
        assert_eq!(gone, Err(StoreError::Refused(Errno::ENOENT)));
        assert_eq!(daemon.read("device/vif/0/state"), None, "no ghost is made");
    });
}

#[test]
fn the_other_ends_states_come_in_any_order_and_each_change_once() {
    on_vif(async |daemon, _, device| {
        let backend: Backend = device.backend().await.unwrap();
        let key = format!("{BACK}/state");
        let mut states = backend.states().await.unwrap();
        assert_eq!(states.next().await, Ok(XenbusState::InitWait));
        assert!(timeout(SOON, states.next()).await.is_err(), "the watch's own event is no change");
        daemon.write(&key, "2");
        assert!(timeout(SOON, states.next()).await.is_err(), "written again is no change");
        for (text, state) in [
            ("4", XenbusState::Connected),
            ("1", XenbusState::Initialising),
            ("nonsense", XenbusState::Unknown),
            ("6", XenbusState::Closed),
        ] {
            daemon.write(&key, text);
            assert_eq!(timeout(SOON, states.next()).await.unwrap(), Ok(state));
        }
        daemon.rm(BACK);
        assert_eq!(timeout(SOON, states.next()).await.unwrap(), Ok(XenbusState::Unknown));
        daemon.write(&key, "4");
        assert_eq!(timeout(SOON, states.next()).await.unwrap(), Ok(XenbusState::Connected));
        // What lies above the directory is not this guest's to read.
        daemon.deny("/local/domain/3");
        daemon.rm(BACK);
        assert_eq!(timeout(SOON, states.next()).await.unwrap(), Ok(XenbusState::Unknown));
    });
}

#[test]
fn a_state_is_not_missed_when_the_waiting_is_given_up_between_event_and_reading() {
    on_vif(async |daemon, _, device| {
        use crate::fake::Replies;
        let backend = device.backend().await.unwrap();
        let mut states = backend.states().await.unwrap();
        assert_eq!(states.next().await, Ok(XenbusState::InitWait));
        assert!(timeout(SOON, states.next()).await.is_err());
        daemon.set_replies(Replies::Held);
        daemon.write(&format!("{BACK}/state"), "4");
        assert!(timeout(SOON, states.next()).await.is_err(), "the answer does not come");
        daemon.set_replies(Replies::InOrder);
        assert_eq!(timeout(SOON, states.next()).await.unwrap(), Ok(XenbusState::Connected));
    });
}

#[test]
fn devices_come_and_go() {
    on_vif(async |daemon, store, _| {
        assert_eq!(devices(&store, "vbd").await, Ok(vec![]));
        let mut list = DeviceList::watch(&store, "vif").await.unwrap();
        assert_eq!(list.next().await, Ok(vec![0]));
        daemon.write("device/vif/0/state", "4");
        assert!(timeout(SOON, list.next()).await.is_err(), "the same devices");
        daemon.write("device/vif/10/state", "1");
        daemon.write("device/vif/2/state", "1");
        daemon.write("device/vif/two/state", "1");
        assert_eq!(timeout(SOON, list.next()).await.unwrap(), Ok(vec![0, 2, 10]));
        daemon.rm("device/vif/0");
        assert_eq!(timeout(SOON, list.next()).await.unwrap(), Ok(vec![2, 10]));
        daemon.rm("device/vif");
        assert_eq!(timeout(SOON, list.next()).await.unwrap(), Ok(vec![]));
    });
}
