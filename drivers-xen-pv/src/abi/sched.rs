//! Scheduling and leaving (`sched.h`).

use super::layout;

/// `SCHEDOP_yield`
pub const SCHEDOP_YIELD: u32 = 0;
/// `SCHEDOP_block`: until an event; takes the upcall mask off, so a guest without upcalls polls instead.
pub const SCHEDOP_BLOCK: u32 = 1;
/// `SCHEDOP_shutdown`
pub const SCHEDOP_SHUTDOWN: u32 = 2;
/// `SCHEDOP_poll`
pub const SCHEDOP_POLL: u32 = 3;

/// Ports that `SCHEDOP_poll` takes at most (Xen answers `EINVAL` to more).
pub const POLL_PORTS_MAX: usize = 128;

/// `SHUTDOWN_poweroff`
pub const SHUTDOWN_POWEROFF: u32 = 0;
/// `SHUTDOWN_reboot`
pub const SHUTDOWN_REBOOT: u32 = 1;
/// `SHUTDOWN_suspend`
pub const SHUTDOWN_SUSPEND: u32 = 2;
/// `SHUTDOWN_crash`
pub const SHUTDOWN_CRASH: u32 = 3;

/// `struct sched_shutdown`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SchedShutdown {
    /// `SHUTDOWN_*`.
    pub reason: u32,
}

layout!(SchedShutdown, size 4, reason at 0);

/// `struct sched_poll`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SchedPoll {
    /// The channels.
    pub ports: *const u32,
    /// Their number, at most [`POLL_PORTS_MAX`].
    pub nr_ports: u32,
    _pad: u32,
    /// Absolute system time in nanoseconds; 0 for none.
    pub timeout: u64,
}

impl SchedPoll {
    /// Waits for `ports` until `timeout` (0: for ever).
    pub const fn new(ports: *const u32, nr_ports: u32, timeout: u64) -> Self {
        Self { ports, nr_ports, _pad: 0, timeout }
    }
}

layout!(SchedPoll, size 24, ports at 0, nr_ports at 8, timeout at 16);
