//! The structures and numbers of `fata_xen::abi` are those of Xen's public headers.
//!
//! A C program made from the tables below prints what the headers of `libxen-dev` say; a compiler and the headers are needed.

use fata_xen::abi::*;
use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::process::Command;

/// A C expression, and its value here.
type Line = (String, i128);

/// Size and offsets of a structure: the C name, ours, and its fields, with the C name where it is another.
macro_rules! structure {
    ($lines:ident, $c:literal, $ty:ty, $($field:ident $(= $c_field:literal)?),+) => {
        $lines.push((format!("sizeof({})", $c), size_of::<$ty>() as i128));
        $(
            let c_field = [$($c_field,)? stringify!($field)][0].trim_start_matches("r#");
            $lines.push((format!("offsetof({}, {c_field})", $c), offset_of!($ty, $field) as i128));
        )+
    };
}

/// Constants of a module whose C name is ours with a prefix.
macro_rules! constants {
    ($lines:ident, $module:ident, $prefix:literal, $($name:ident),+) => {
        $lines.extend([$((concat!($prefix, stringify!($name)).into(), $module::$name as i128)),+]);
    };
}

/// Constants whose C name is another.
macro_rules! renamed {
    ($lines:ident, $module:ident, $($name:ident = $c:literal),+) => {
        $lines.extend([$(($c.into(), $module::$name as i128)),+]);
    };
}

#[rustfmt::skip]
fn structures() -> Vec<Line> {
    use console::XenconsInterface;
    use event_channel::{EvtchnAllocUnbound, EvtchnBindVirq, EvtchnPortOp};
    use grant_table::{GnttabQuerySize, GnttabSetVersion, GnttabSetupTable, GrantEntryV1};
    use memory::{AddToPhysmap, MachphysMapping, MemoryMap, MemoryReservation};
    use mmu::{MmuUpdate, MmuextOp, MulticallEntry};
    use shared_info::{ArchSharedInfo, ArchVcpuInfo, SharedInfo, VcpuInfo, VcpuTimeInfo};
    use xs_wire::{XenstoreDomainInterface, XsdSockmsg};
    let mut l = Vec::new();
    structure!(l, "struct start_info", start_info::StartInfo, magic, nr_pages, shared_info, flags,
        store_mfn, store_evtchn, console_mfn = "console.domU.mfn", console_evtchn = "console.domU.evtchn",
        pt_base, nr_pt_frames, mfn_list, mod_start, mod_len, cmd_line, first_p2m_pfn, nr_p2m_frames);
    structure!(l, "struct vcpu_time_info", VcpuTimeInfo, version, pad0, tsc_timestamp, system_time,
        tsc_to_system_mul, tsc_shift, flags, pad1);
    structure!(l, "struct arch_vcpu_info", ArchVcpuInfo, cr2, pad);
    structure!(l, "struct vcpu_info", VcpuInfo, evtchn_upcall_pending, evtchn_upcall_mask,
        evtchn_pending_sel, arch, time);
    structure!(l, "struct arch_shared_info", ArchSharedInfo, max_pfn, pfn_to_mfn_frame_list_list,
        nmi_reason, p2m_cr3, p2m_vaddr, p2m_generation);
    structure!(l, "struct shared_info", SharedInfo, vcpu_info, evtchn_pending, evtchn_mask, wc_version,
        wc_sec, wc_nsec, wc_sec_hi, arch);
    structure!(l, "struct trap_info", trap::TrapInfo, vector, flags, cs, address);
    structure!(l, "struct mmu_update", MmuUpdate, ptr, val);
    structure!(l, "struct mmuext_op", MmuextOp, cmd, arg1, arg2);
    structure!(l, "struct multicall_entry", MulticallEntry, op, result, args);
    structure!(l, "struct evtchn_alloc_unbound", EvtchnAllocUnbound, dom, remote_dom, port);
    structure!(l, "struct evtchn_bind_virq", EvtchnBindVirq, virq, vcpu, port);
    structure!(l, "struct evtchn_close", EvtchnPortOp, port);
    structure!(l, "struct evtchn_send", EvtchnPortOp, port);
    structure!(l, "struct evtchn_unmask", EvtchnPortOp, port);
    structure!(l, "struct sched_shutdown", sched::SchedShutdown, reason);
    structure!(l, "struct sched_poll", sched::SchedPoll, ports, nr_ports, timeout);
    structure!(l, "struct vcpu_runstate_info", vcpu::VcpuRunstateInfo, state, state_entry_time, time);
    structure!(l, "struct xen_memory_reservation", MemoryReservation, extent_start, nr_extents,
        extent_order, mem_flags, domid);
    structure!(l, "struct xen_add_to_physmap", AddToPhysmap, domid, size, space, idx, gpfn);
    structure!(l, "struct xen_memory_map", MemoryMap, nr_entries, buffer);
    structure!(l, "struct xen_machphys_mapping", MachphysMapping, v_start, v_end, max_mfn);
    structure!(l, "struct hvm_start_info", hvm::HvmStartInfo, magic, version, flags, nr_modules, modlist_paddr,
        cmdline_paddr, rsdp_paddr, memmap_paddr, memmap_entries);
    structure!(l, "struct hvm_memmap_table_entry", hvm::HvmMemmapTableEntry, addr, size, r#type);
    structure!(l, "struct xen_hvm_param", hvm::XenHvmParam, domid, index, value);
    structure!(l, "struct grant_entry_v1", GrantEntryV1, flags, domid, frame);
    structure!(l, "struct gnttab_setup_table", GnttabSetupTable, dom, nr_frames, status, frame_list);
    structure!(l, "struct gnttab_query_size", GnttabQuerySize, dom, nr_frames, max_nr_frames, status);
    structure!(l, "struct gnttab_set_version", GnttabSetVersion, version);
    structure!(l, "struct xen_feature_info", version::FeatureInfo, submap_idx, submap);
    structure!(l, "struct xencons_interface", XenconsInterface, r#in, out, in_cons, in_prod, out_cons,
        out_prod);
    structure!(l, "struct xsd_sockmsg", XsdSockmsg, r#type, req_id, tx_id, len);
    structure!(l, "struct xenstore_domain_interface", XenstoreDomainInterface, req, rsp, req_cons, req_prod,
        rsp_cons, rsp_prod, server_features, connection, error);
    l
}

#[rustfmt::skip]
fn numbers() -> Vec<Line> {
    let mut l = Vec::new();
    renamed!(l, hypercall, SET_TRAP_TABLE = "__HYPERVISOR_set_trap_table",
        MMU_UPDATE = "__HYPERVISOR_mmu_update", SET_GDT = "__HYPERVISOR_set_gdt",
        STACK_SWITCH = "__HYPERVISOR_stack_switch", SET_CALLBACKS = "__HYPERVISOR_set_callbacks",
        MEMORY_OP = "__HYPERVISOR_memory_op", MULTICALL = "__HYPERVISOR_multicall",
        UPDATE_VA_MAPPING = "__HYPERVISOR_update_va_mapping", SET_TIMER_OP = "__HYPERVISOR_set_timer_op",
        XEN_VERSION = "__HYPERVISOR_xen_version", CONSOLE_IO = "__HYPERVISOR_console_io",
        GRANT_TABLE_OP = "__HYPERVISOR_grant_table_op", VM_ASSIST = "__HYPERVISOR_vm_assist",
        IRET = "__HYPERVISOR_iret", VCPU_OP = "__HYPERVISOR_vcpu_op",
        SET_SEGMENT_BASE = "__HYPERVISOR_set_segment_base", MMUEXT_OP = "__HYPERVISOR_mmuext_op",
        SCHED_OP = "__HYPERVISOR_sched_op", CALLBACK_OP = "__HYPERVISOR_callback_op",
        EVENT_CHANNEL_OP = "__HYPERVISOR_event_channel_op", PHYSDEV_OP = "__HYPERVISOR_physdev_op",
        HVM_OP = "__HYPERVISOR_hvm_op", CONSOLEIO_WRITE = "CONSOLEIO_write",
        VMASST_CMD_ENABLE = "VMASST_CMD_enable",
        VMASST_TYPE_WRITABLE_PAGETABLES = "VMASST_TYPE_writable_pagetables");
    constants!(l, hypercall, "", SEGBASE_FS, SEGBASE_GS_KERNEL);
    constants!(l, hypercall, "XEN_", ENOMEM, EINVAL, ENOSPC, ENOSYS);
    constants!(l, start_info, "", MAX_GUEST_CMDLINE, SIF_PRIVILEGED, SIF_INITDOMAIN, SIF_MOD_START_PFN,
        SIF_VIRT_P2M_4TOOLS);
    constants!(l, shared_info, "", EVTCHN_2L_NR_CHANNELS);
    constants!(l, shared_info, "XEN_", LEGACY_MAX_VCPUS);
    renamed!(l, shared_info, PVCLOCK_TSC_STABLE = "XEN_PVCLOCK_TSC_STABLE_BIT",
        PVCLOCK_GUEST_STOPPED = "XEN_PVCLOCK_GUEST_STOPPED");
    constants!(l, trap, "", FLAT_KERNEL_CS, FLAT_KERNEL_SS, FLAT_KERNEL_DS, HYPERVISOR_VIRT_START,
        HYPERVISOR_VIRT_END, MACH2PHYS_VIRT_START, MACH2PHYS_VIRT_END);
    constants!(l, mmu, "", MMU_NORMAL_PT_UPDATE, MMU_MACHPHYS_UPDATE, MMU_PT_UPDATE_PRESERVE_AD,
        MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE,
        MMUEXT_UNPIN_TABLE, MMUEXT_NEW_BASEPTR, MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL,
        MMUEXT_TLB_FLUSH_ALL, UVMF_NONE, UVMF_TLB_FLUSH, UVMF_INVLPG);
    renamed!(l, event_channel, EVTCHNOP_BIND_VIRQ = "EVTCHNOP_bind_virq", EVTCHNOP_CLOSE = "EVTCHNOP_close",
        EVTCHNOP_SEND = "EVTCHNOP_send", EVTCHNOP_STATUS = "EVTCHNOP_status",
        EVTCHNOP_ALLOC_UNBOUND = "EVTCHNOP_alloc_unbound", EVTCHNOP_UNMASK = "EVTCHNOP_unmask",
        VIRQ_TIMER = "VIRQ_TIMER");
    renamed!(l, sched, SCHEDOP_YIELD = "SCHEDOP_yield", SCHEDOP_BLOCK = "SCHEDOP_block",
        SCHEDOP_SHUTDOWN = "SCHEDOP_shutdown", SCHEDOP_POLL = "SCHEDOP_poll",
        SHUTDOWN_POWEROFF = "SHUTDOWN_poweroff", SHUTDOWN_REBOOT = "SHUTDOWN_reboot",
        SHUTDOWN_SUSPEND = "SHUTDOWN_suspend", SHUTDOWN_CRASH = "SHUTDOWN_crash");
    renamed!(l, vcpu, VCPUOP_GET_RUNSTATE_INFO = "VCPUOP_get_runstate_info",
        VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA = "VCPUOP_register_runstate_memory_area",
        VCPUOP_STOP_PERIODIC_TIMER = "VCPUOP_stop_periodic_timer",
        VCPUOP_SET_SINGLESHOT_TIMER = "VCPUOP_set_singleshot_timer", RUNSTATE_RUNNING = "RUNSTATE_running",
        RUNSTATE_RUNNABLE = "RUNSTATE_runnable", RUNSTATE_BLOCKED = "RUNSTATE_blocked",
        RUNSTATE_OFFLINE = "RUNSTATE_offline");
    renamed!(l, memory, XENMEM_INCREASE_RESERVATION = "XENMEM_increase_reservation",
        XENMEM_DECREASE_RESERVATION = "XENMEM_decrease_reservation",
        XENMEM_CURRENT_RESERVATION = "XENMEM_current_reservation",
        XENMEM_MAXIMUM_RESERVATION = "XENMEM_maximum_reservation",
        XENMEM_POPULATE_PHYSMAP = "XENMEM_populate_physmap",
        XENMEM_ADD_TO_PHYSMAP = "XENMEM_add_to_physmap", XENMEM_MEMORY_MAP = "XENMEM_memory_map",
        XENMEM_MACHPHYS_MAPPING = "XENMEM_machphys_mapping",
        XENMAPSPACE_SHARED_INFO = "XENMAPSPACE_shared_info",
        XENMAPSPACE_GRANT_TABLE = "XENMAPSPACE_grant_table");
    constants!(l, grant_table, "GNTTAB_", NR_RESERVED_ENTRIES, RESERVED_CONSOLE, RESERVED_XENSTORE);
    renamed!(l, grant_table, GTF_INVALID = "GTF_invalid", GTF_PERMIT_ACCESS = "GTF_permit_access",
        GTF_TYPE_MASK = "GTF_type_mask", GTF_READONLY = "GTF_readonly", GTF_READING = "GTF_reading",
        GTF_WRITING = "GTF_writing", GNTTABOP_SETUP_TABLE = "GNTTABOP_setup_table",
        GNTTABOP_QUERY_SIZE = "GNTTABOP_query_size", GNTTABOP_SET_VERSION = "GNTTABOP_set_version",
        GNTST_OKAY = "GNTST_okay");
    renamed!(l, version, XENVER_VERSION = "XENVER_version", XENVER_GET_FEATURES = "XENVER_get_features",
        XENVER_GUEST_HANDLE = "XENVER_guest_handle",
        XENFEAT_WRITABLE_PAGE_TABLES = "XENFEAT_writable_page_tables",
        XENFEAT_AUTO_TRANSLATED_PHYSMAP = "XENFEAT_auto_translated_physmap",
        XENFEAT_PAE_PGDIR_ABOVE_4GB = "XENFEAT_pae_pgdir_above_4gb",
        XENFEAT_MMU_PT_UPDATE_PRESERVE_AD = "XENFEAT_mmu_pt_update_preserve_ad");
    constants!(l, elfnote, "XEN_ELFNOTE_", ENTRY, HYPERCALL_PAGE, VIRT_BASE, PADDR_OFFSET, XEN_VERSION,
        GUEST_OS, GUEST_VERSION, LOADER, PAE_MODE, FEATURES, L1_MFN_VALID, SUSPEND_CANCEL, INIT_P2M,
        SUPPORTED_FEATURES, PHYS32_ENTRY);
    renamed!(l, hvm, START_MAGIC_VALUE = "XEN_HVM_START_MAGIC_VALUE",
        MEMMAP_TYPE_RAM = "XEN_HVM_MEMMAP_TYPE_RAM", HVMOP_GET_PARAM = "HVMOP_get_param",
        CPUID_FIRST_LEAF = "XEN_CPUID_FIRST_LEAF");
    constants!(l, hvm, "HVM_", PARAM_STORE_PFN, PARAM_STORE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_CONSOLE_EVTCHN);
    constants!(l, hvm, "XEN_", CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX);
    constants!(l, xs_wire, "", XS_DIRECTORY, XS_READ, XS_GET_PERMS, XS_WATCH, XS_UNWATCH,
        XS_TRANSACTION_START, XS_TRANSACTION_END, XS_GET_DOMAIN_PATH, XS_WRITE, XS_MKDIR, XS_RM,
        XS_SET_PERMS, XS_WATCH_EVENT, XS_ERROR, XS_RESET_WATCHES, XS_DIRECTORY_PART);
    constants!(l, xs_wire, "XENSTORE_", RING_SIZE, PAYLOAD_MAX, ABS_PATH_MAX, REL_PATH_MAX);
    l
}

fn states() -> Vec<Line> {
    use fata_xen::xenbus::XenbusState as S;
    let all = [
        ("Unknown", S::Unknown),
        ("Initialising", S::Initialising),
        ("InitWait", S::InitWait),
        ("Initialised", S::Initialised),
        ("Connected", S::Connected),
        ("Closing", S::Closing),
        ("Closed", S::Closed),
        ("Reconfiguring", S::Reconfiguring),
        ("Reconfigured", S::Reconfigured),
    ];
    all.into_iter().map(|(name, state)| (format!("XenbusState{name}"), state as i128)).collect()
}

const INCLUDES: &[&str] = &[
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "xen/xen.h",
    "xen/event_channel.h",
    "xen/sched.h",
    "xen/vcpu.h",
    "xen/memory.h",
    "xen/grant_table.h",
    "xen/version.h",
    "xen/features.h",
    "xen/elfnote.h",
    "xen/errno.h",
    "xen/arch-x86/cpuid.h",
    "xen/arch-x86/hvm/start_info.h",
    "xen/hvm/hvm_op.h",
    "xen/hvm/params.h",
    "xen/io/console.h",
    "xen/io/xs_wire.h",
    "xen/io/xenbus.h",
];

/// The program, one number a line.
fn program(lines: &[Line]) -> String {
    // The version of the interface that the headers describe; without it they describe the oldest.
    let mut source = String::from("#define __XEN_INTERFACE_VERSION__ 0x00040d00\n");
    for include in INCLUDES {
        writeln!(source, "#include <{include}>").unwrap();
    }
    source.push_str("int main(void) {\n");
    for (expression, _) in lines {
        // Unsigned constants above 2^63 come out as they are in 64 bits; so are ours compared.
        writeln!(source, "  printf(\"%lld\\n\", (long long)({expression}));").unwrap();
    }
    source.push_str("  return 0;\n}\n");
    source
}

/// What the headers say.
fn run(source: &str) -> Vec<i64> {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (c, binary) = (directory.join("abi_layout.c"), directory.join("abi_layout"));
    std::fs::write(&c, source).expect("the program is written");
    let compiled = Command::new("cc").arg("-o").arg(&binary).arg(&c).output();
    let compiled = compiled.expect("this test needs a C compiler as `cc` (Debian package gcc)");
    let complaint = String::from_utf8_lossy(&compiled.stderr);
    assert!(
        compiled.status.success(),
        "this test needs the headers of Xen (Debian package libxen-dev):\n{complaint}"
    );
    let output = Command::new(&binary).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("numbers");
    text.lines().map(|l| l.parse().expect("a number")).collect()
}

#[test]
fn the_headers_say_the_same() {
    let lines: Vec<Line> = [structures(), numbers(), states()].concat();
    let seen = run(&program(&lines));
    assert_eq!(seen.len(), lines.len());
    let wrong: Vec<String> = lines
        .iter()
        .zip(&seen)
        .filter(|((_, ours), theirs)| *ours as i64 != **theirs)
        .map(|((what, ours), theirs)| format!("{what} is {theirs}, here {ours}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
