//! `hvm_start_info`: read once, checked, and copied out of memory that will be given away.

use crate::abi::hvm::{HvmMemmapTableEntry, HvmStartInfo, START_MAGIC_VALUE};
use crate::guest::memory::Place;
use crate::guest::{crash, early_write};
use crate::memory_map::MemoryMap;

/// The longest command line, its end included.
const COMMAND_LINE_MAX: usize = 4096;
/// Entries of a memory map that are read at most.
const ENTRIES_MAX: u32 = 128;
/// What the entry code has mapped.
const MAPPED_END: u64 = 1 << 30;

static COMMAND_LINE: Place<[u8; COMMAND_LINE_MAX]> = Place::new([0; COMMAND_LINE_MAX]);

fn refuse(why: &str) -> ! {
    crash(format_args!("fata: the PVH loader's start_info makes no sense: {why}\n"))
}

/// A value at a physical address that the loader named.
fn read<T: Copy>(address: u64) -> T {
    check(address.saturating_add(size_of::<T>() as u64));
    // SAFETY: the entry code mapped the first GiB at its physical addresses; any octets are a `T` of this module's callers,
    // which are plain numbers. Nobody writes there yet.
    unsafe { (address as usize as *const T).read_unaligned() }
}

#[inline(never)]
fn check(end: u64) {
    if end > MAPPED_END {
        refuse("an address in it is not below 1 GiB");
    }
}

/// ACPI's root pointer; 0 for none.
pub(super) fn rsdp(address: u32) -> u64 {
    read::<HvmStartInfo>(address.into()).rsdp_paddr
}

/// The command line, and the memory.
pub(super) fn take(address: u32) -> (&'static [u8], MemoryMap) {
    let info: HvmStartInfo = read(u64::from(address));
    if info.magic != START_MAGIC_VALUE {
        refuse("its magic is another");
    }
    if info.version == 0 || info.memmap_entries == 0 || info.memmap_entries > ENTRIES_MAX {
        refuse("it has no memory map");
    }
    let entry = |n: u32| read::<HvmMemmapTableEntry>(info.memmap_paddr.saturating_add(u64::from(n) * 24));
    let map = MemoryMap::new((0..info.memmap_entries).map(entry)).unwrap_or_else(|e| refuse(e.text()));
    if map.ignored != 0 {
        early_write(b"fata: memory in more than 8 pieces is not used\n");
    }
    if info.cmdline_paddr != 0 {
        copy_command_line(info.cmdline_paddr);
    }
    // SAFETY: written above for the last time.
    (unsafe { &*COMMAND_LINE.get() }, map)
}

/// What does not fit is seen by who reads it.
#[inline(never)]
fn copy_command_line(address: u64) {
    COMMAND_LINE.with(|line| {
        for (to, from) in line.iter_mut().zip(address..) {
            *to = read(from);
            if *to == 0 {
                return;
            }
        }
    });
}
