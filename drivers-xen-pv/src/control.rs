//! `xl shutdown` and `xl reboot`: the toolstack writes what it wants to `control/shutdown`, the guest takes it away to say that
//! it has heard (Xen's `docs/misc/xenstore-paths.pandoc`).

use crate::xenstore::{StoreError, XenStore};
use fata_libos::platform::Leave;
use fata_libos::shutdown;

const REQUEST: &str = "control/shutdown";

/// Tells the toolstack what this guest understands, then passes on what it asks for to [`shutdown`], for as long as XenStore
/// works.
pub async fn run(store: &XenStore) -> Result<(), StoreError> {
    for feature in ["control/feature-poweroff", "control/feature-reboot"] {
        // A toolstack that does not let the guest write here asks all the same.
        drop(store.write(feature, "1"));
    }
    let mut watch = store.watch(REQUEST).await?;
    loop {
        watch.changed().await?;
        match take(store).await {
            Ok(Some(Request::Leave(how))) => {
                log::info!("asked to leave: {how:?}");
                shutdown::request(how);
            }
            Ok(Some(Request::Ignored(what))) => log::warn!("asked to {what}, which this guest does not do"),
            Ok(None) => {}
            Err(e @ StoreError::Broken(_)) => return Err(e),
            Err(e) => log::warn!("{REQUEST}: {e}"),
        }
    }
}

enum Request {
    Leave(Leave),
    Ignored(&'static str),
}

/// Takes the request, if there is one. Without a transaction: a second request that comes between the two steps would be lost,
/// but to the first one that asks to leave no second one matters.
async fn take(store: &XenStore) -> Result<Option<Request>, StoreError> {
    let text = match store.read(REQUEST).await {
        Err(e) if e.is_absent() => return Ok(None),
        text => text?,
    };
    let request = match text.as_str() {
        // What the guest itself, or a new domain's builder, left there.
        "" => return Ok(None),
        "poweroff" | "halt" => Request::Leave(Leave::PowerOff),
        "reboot" => Request::Leave(Leave::Reboot),
        "suspend" => Request::Ignored("suspend"),
        "crash" => Request::Ignored("crash"),
        _ => Request::Ignored("do something unknown"),
    };
    // Heard it is, whether or not XenStore lets the guest say so.
    match store.write(REQUEST, "").await {
        Err(e @ StoreError::Broken(_)) => return Err(e),
        Err(e) => log::warn!("{REQUEST}: {e}"),
        Ok(()) => {}
    }
    Ok(Some(request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeXenstored, run as run_fake};
    use fata_libos::spawn;
    use fata_libos::time::{Duration, sleep, timeout};

    const SOON: Duration = Duration::from_secs(1);

    fn asked(text: &str) -> Option<Leave> {
        run_fake(async |hv, xen| {
            let (daemon, store) = FakeXenstored::start(hv, &xen);
            daemon.write(REQUEST, "");
            let control = spawn(async move { run(&store).await });
            sleep(SOON).await;
            assert_eq!(daemon.read("control/feature-poweroff").as_deref(), Some("1"));
            assert_eq!(daemon.read("control/feature-reboot").as_deref(), Some("1"));
            assert_eq!(shutdown::is_requested(), None);
            daemon.conflict(2);
            daemon.write(REQUEST, text);
            let how = timeout(SOON, shutdown::requested()).await.ok();
            assert_eq!(daemon.read(REQUEST).as_deref(), Some(""), "acknowledged");
            assert!(timeout(SOON, control).await.is_err(), "goes on listening");
            how
        })
    }

    #[test]
    fn what_the_toolstack_asks_for_is_passed_on_and_acknowledged() {
        // Each in a thread of its own: a request to leave stays.
        for (text, how) in [
            ("poweroff", Some(Leave::PowerOff)),
            ("halt", Some(Leave::PowerOff)),
            ("reboot", Some(Leave::Reboot)),
            ("suspend", None),
            ("crash", None),
            ("dance", None),
            ("", None),
        ] {
            std::thread::spawn(move || assert_eq!(asked(text), how, "{text}")).join().unwrap();
        }
    }

    #[test]
    fn a_request_that_was_there_before_is_heard() {
        run_fake(async |hv, xen| {
            let (daemon, store) = FakeXenstored::start(hv, &xen);
            daemon.write(REQUEST, "reboot");
            spawn(async move { run(&store).await }).detach();
            assert_eq!(timeout(SOON, shutdown::requested()).await, Ok(Leave::Reboot));
        });
    }

    #[test]
    fn a_toolstack_that_allows_nothing_is_no_fault() {
        run_fake(async |hv, xen| {
            let (daemon, store) = FakeXenstored::start(hv, &xen);
            daemon.deny("control/feature-poweroff");
            daemon.deny("control/feature-reboot");
            daemon.write(REQUEST, "poweroff");
            spawn(async move { run(&store).await }).detach();
            assert_eq!(timeout(SOON, shutdown::requested()).await, Ok(Leave::PowerOff));
        });
    }
}
