//! Names of alerts. rustls alone has the keys that seal one, and for some violations another name than the RFCs, or none; the ciphers
//! that seal it are ours.

use crate::Alert;
use core::sync::atomic::{AtomicU8, Ordering};
use rustls::ContentType;

/// What the next alerts are called: the name's number, 0 where they are called what rustls calls them.
fn with_name<T>(f: impl FnOnce(&AtomicU8) -> T) -> T {
    #[cfg(target_os = "xen")]
    {
        static NAME: AtomicU8 = AtomicU8::new(0);
        f(&NAME)
    }
    #[cfg(not(target_os = "xen"))]
    {
        std::thread_local! { static NAME: AtomicU8 = const { AtomicU8::new(0) }; }
        NAME.with(f)
    }
}

/// Gives each alert that `say` has rustls seal this name.
pub(crate) fn named<T>(alert: Alert, say: impl FnOnce() -> T) -> T {
    with_name(|name| name.store(alert.0, Ordering::Relaxed));
    let said = say();
    with_name(|name| name.store(0, Ordering::Relaxed));
    said
}

/// Gives a text that is about to be sealed the name, if it is an alert.
pub(super) fn rename(kind: ContentType, text: &mut [u8]) {
    if kind == ContentType::Alert
        && let ([_, description], name @ 1..) = (text, with_name(|name| name.load(Ordering::Relaxed)))
    {
        *description = name;
    }
}
