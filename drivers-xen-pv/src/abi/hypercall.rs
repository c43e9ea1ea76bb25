//! Numbers of hypercalls (`xen.h`: `__HYPERVISOR_*`), and of errors (`errno.h`).
//!
//! A call goes to `hypercall_page + number * 32`; arguments in rdi, rsi, rdx, r10, r8; the result in rax, negative for an
//! error; argument registers are clobbered (`arch-x86/xen-x86_64.h`).

/// `__HYPERVISOR_set_trap_table`
pub const SET_TRAP_TABLE: u32 = 0;
/// `__HYPERVISOR_mmu_update`
pub const MMU_UPDATE: u32 = 1;
/// `__HYPERVISOR_set_gdt`
pub const SET_GDT: u32 = 2;
/// `__HYPERVISOR_stack_switch`
pub const STACK_SWITCH: u32 = 3;
/// `__HYPERVISOR_set_callbacks`
pub const SET_CALLBACKS: u32 = 4;
/// `__HYPERVISOR_memory_op`
pub const MEMORY_OP: u32 = 12;
/// `__HYPERVISOR_multicall`
pub const MULTICALL: u32 = 13;
/// `__HYPERVISOR_update_va_mapping`
pub const UPDATE_VA_MAPPING: u32 = 14;
/// `__HYPERVISOR_set_timer_op`
pub const SET_TIMER_OP: u32 = 15;
/// `__HYPERVISOR_xen_version`
pub const XEN_VERSION: u32 = 17;
/// `__HYPERVISOR_console_io`
pub const CONSOLE_IO: u32 = 18;
/// `__HYPERVISOR_grant_table_op`
pub const GRANT_TABLE_OP: u32 = 20;
/// `__HYPERVISOR_vm_assist`
pub const VM_ASSIST: u32 = 21;
/// `__HYPERVISOR_iret`
pub const IRET: u32 = 23;
/// `__HYPERVISOR_vcpu_op`
pub const VCPU_OP: u32 = 24;
/// `__HYPERVISOR_set_segment_base`
pub const SET_SEGMENT_BASE: u32 = 25;
/// `__HYPERVISOR_mmuext_op`
pub const MMUEXT_OP: u32 = 26;
/// `__HYPERVISOR_sched_op`
pub const SCHED_OP: u32 = 29;
/// `__HYPERVISOR_callback_op`
pub const CALLBACK_OP: u32 = 30;
/// `__HYPERVISOR_event_channel_op`
pub const EVENT_CHANNEL_OP: u32 = 32;
/// `__HYPERVISOR_physdev_op`
pub const PHYSDEV_OP: u32 = 33;
/// `__HYPERVISOR_hvm_op`
pub const HVM_OP: u32 = 34;

/// Octets between two entries of the hypercall page.
pub const ENTRY_SIZE: usize = 32;

/// `CONSOLEIO_write`: the hypervisor's own console, heard only where it is built for debugging.
pub const CONSOLEIO_WRITE: u32 = 0;

/// `VMASST_CMD_enable`
pub const VMASST_CMD_ENABLE: u32 = 0;
/// `VMASST_TYPE_writable_pagetables`
pub const VMASST_TYPE_WRITABLE_PAGETABLES: u32 = 2;

/// `SEGBASE_FS`
pub const SEGBASE_FS: u32 = 0;
/// `SEGBASE_GS_KERNEL`
pub const SEGBASE_GS_KERNEL: u32 = 2;

/// `XEN_ENOMEM`: out of memory.
pub const ENOMEM: i32 = 12;
/// `XEN_EINVAL`: invalid argument.
pub const EINVAL: i32 = 22;
/// `XEN_ENOSPC`: no space left, no port free.
pub const ENOSPC: i32 = 28;
/// `XEN_ENOSYS`: no such call.
pub const ENOSYS: i32 = 38;
