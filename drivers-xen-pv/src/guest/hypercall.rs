//! Hypercalls through the hypercall page: one function a call, the numbers of `xen.h`.

use crate::abi::mmu::MmuUpdate;
use crate::abi::trap::TrapInfo;
use core::arch::asm;
use core::ffi::c_void;

/// Calls entry `NR` of the hypercall page with up to four arguments.
///
/// # Safety
/// The call's own rules: pointers among the arguments are valid for what the hypervisor does with them.
#[inline]
unsafe fn call<const NR: usize>(args: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the page's code follows the convention of `xen-x86_64.h`: arguments in rdi, rsi, rdx, r10, result in rax; rcx
    // and r11 are lost, and so may be the argument registers. It uses the stack, and there is no red zone.
    unsafe {
        asm!(
            "call fata_hypercall_page + {offset}",
            offset = const NR * 32,
            lateout("rax") result,
            inlateout("rdi") args[0] => _,
            inlateout("rsi") args[1] => _,
            inlateout("rdx") args[2] => _,
            inlateout("r10") args[3] => _,
            lateout("rcx") _,
            lateout("r11") _,
            lateout("r8") _,
            lateout("r9") _,
        );
    }
    result
}

fn address<T: ?Sized>(value: *const T) -> usize {
    value.cast::<c_void>().addr()
}

macro_rules! hypercall {
    ($(#[$meta:meta])* $name:ident = $nr:literal ($($arg:ident: $ty:ty => $conv:expr),*)) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// Pointers are valid for what the hypervisor reads and writes through them, and what the call changes is changed
        /// in a way that the rest of the guest allows.
        pub(crate) unsafe fn $name($($arg: $ty),*) -> isize {
            let mut args = [0usize; 4];
            let mut n = 0;
            $( args[n] = $conv; n += 1; )*
            let _ = n;
            // SAFETY: by the caller.
            unsafe { call::<$nr>(args) }
        }
    };
}

hypercall!(/// `set_trap_table`: the exception handlers, ended by an entry whose address is 0.
    set_trap_table = 0 (table: *const TrapInfo => address(table)));
hypercall!(/// `mmu_update`: checked writes to page tables.
    mmu_update = 1 (requests: *const MmuUpdate => address(requests), count: usize => count,
    done: *mut u32 => address(done), domain: usize => domain));
hypercall!(/// `memory_op`.
    memory_op = 12 (command: usize => command, argument: *mut c_void => address(argument)));
hypercall!(/// `update_va_mapping`: one page-table entry by the address it maps.
    update_va_mapping = 14 (va: usize => va, entry: u64 => entry as usize, flags: usize => flags));
hypercall!(/// `xen_version`: what the hypervisor and the domain are.
    xen_version = 17 (command: usize => command, argument: *mut c_void => address(argument)));
hypercall!(/// `console_io`: the hypervisor's own console (`xl dmesg`), where it lets guests write to it.
    console_io = 18 (command: usize => command, len: usize => len, buffer: *const u8 => address(buffer)));
hypercall!(/// `grant_table_op`.
    grant_table_op = 20 (command: usize => command, argument: *mut c_void => address(argument), count: usize => count));
hypercall!(/// `vcpu_op`.
    vcpu_op = 24 (command: usize => command, vcpu: usize => vcpu, argument: *mut c_void => address(argument)));
hypercall!(/// `sched_op`.
    sched_op = 29 (command: usize => command, argument: *const c_void => address(argument)));
hypercall!(/// `event_channel_op`.
    event_channel_op = 32 (command: usize => command, argument: *mut c_void => address(argument)));
hypercall!(/// `hvm_op`.
    hvm_op = 34 (command: usize => command, argument: *mut c_void => address(argument)));
