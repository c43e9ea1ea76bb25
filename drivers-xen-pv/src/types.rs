//! What the hypervisor hands out, each as a type of its own.

use core::fmt;

/// Octets of a page.
pub const PAGE_SIZE: usize = 4096;

macro_rules! newtype {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

newtype!(
    /// A domain's number (`xen.h`: `domid_t`).
    DomId(u16)
);
newtype!(
    /// An event channel's end in this domain (`event_channel.h`: `evtchn_port_t`).
    EvtchnPort(u32)
);
newtype!(
    /// An entry of this domain's grant table (`grant_table.h`: `grant_ref_t`).
    GrantRef(u32)
);
newtype!(
    /// A frame as this guest counts them, from 0 (`xen.h`: `xen_pfn_t`).
    Pfn(u64)
);
newtype!(
    /// A frame as others name it: a machine frame in a PV guest, the guest's own frame number in a PVH guest.
    Mfn(u64)
);

impl DomId {
    /// This domain itself, in hypercalls (`DOMID_SELF`).
    pub const SELF: Self = Self(0x7ff0);
}
