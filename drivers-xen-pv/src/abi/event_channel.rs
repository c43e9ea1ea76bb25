//! Event channels (`event_channel.h`).

use super::layout;

/// `EVTCHNOP_bind_virq`
pub const EVTCHNOP_BIND_VIRQ: u32 = 1;
/// `EVTCHNOP_close`
pub const EVTCHNOP_CLOSE: u32 = 3;
/// `EVTCHNOP_send`
pub const EVTCHNOP_SEND: u32 = 4;
/// `EVTCHNOP_status`
pub const EVTCHNOP_STATUS: u32 = 5;
/// `EVTCHNOP_alloc_unbound`
pub const EVTCHNOP_ALLOC_UNBOUND: u32 = 6;
/// `EVTCHNOP_unmask`
pub const EVTCHNOP_UNMASK: u32 = 9;

/// `VIRQ_TIMER`
pub const VIRQ_TIMER: u32 = 0;

/// `struct evtchn_alloc_unbound`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct EvtchnAllocUnbound {
    /// Whose channel: `DomId::SELF`.
    pub dom: u16,
    /// Who may bind it.
    pub remote_dom: u16,
    /// Out: the channel.
    pub port: u32,
}

layout!(EvtchnAllocUnbound, size 8, dom at 0, remote_dom at 2, port at 4);

/// `struct evtchn_bind_virq`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct EvtchnBindVirq {
    /// `VIRQ_*`.
    pub virq: u32,
    /// The vCPU.
    pub vcpu: u32,
    /// Out: the channel.
    pub port: u32,
}

layout!(EvtchnBindVirq, size 12, virq at 0, vcpu at 4, port at 8);

/// `struct evtchn_close`, `struct evtchn_send` and `struct evtchn_unmask`, which are the same.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct EvtchnPortOp {
    /// The channel.
    pub port: u32,
}

layout!(EvtchnPortOp, size 4, port at 0);
