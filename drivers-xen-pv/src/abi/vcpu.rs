//! What a vCPU does with its time (`vcpu.h`).

use super::layout;

/// `VCPUOP_get_runstate_info`
pub const VCPUOP_GET_RUNSTATE_INFO: u32 = 4;
/// `VCPUOP_register_runstate_memory_area`
pub const VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA: u32 = 5;
/// `VCPUOP_stop_periodic_timer`
pub const VCPUOP_STOP_PERIODIC_TIMER: u32 = 7;
/// `VCPUOP_set_singleshot_timer`
pub const VCPUOP_SET_SINGLESHOT_TIMER: u32 = 8;

/// `RUNSTATE_running`: index of [`VcpuRunstateInfo::time`].
pub const RUNSTATE_RUNNING: usize = 0;
/// `RUNSTATE_runnable`: it wants to run and may not.
pub const RUNSTATE_RUNNABLE: usize = 1;
/// `RUNSTATE_blocked`: idle.
pub const RUNSTATE_BLOCKED: usize = 2;
/// `RUNSTATE_offline`
pub const RUNSTATE_OFFLINE: usize = 3;

/// `struct vcpu_runstate_info`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct VcpuRunstateInfo {
    /// `RUNSTATE_*`.
    pub state: i32,
    _pad: u32,
    /// Since when, nanoseconds of system time.
    pub state_entry_time: u64,
    /// Nanoseconds spent in each state.
    pub time: [u64; 4],
}

impl VcpuRunstateInfo {
    /// Nothing noted.
    pub const NONE: Self = Self { state: 0, _pad: 0, state_entry_time: 0, time: [0; 4] };
}

layout!(VcpuRunstateInfo, size 48, state at 0, state_entry_time at 8, time at 16);
