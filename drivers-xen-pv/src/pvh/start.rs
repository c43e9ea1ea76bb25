//! The order of a boot, from the first 64-bit instruction to the appliance.

use super::{cpu, paging, start_info, xen};
use crate::abi::hvm::{PARAM_CONSOLE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_STORE_EVTCHN, PARAM_STORE_PFN};
use crate::abi::memory::XENMAPSPACE_SHARED_INFO;
use crate::guest;
use crate::guest::image::VIRT_BASE;
use crate::guest::memory::{self, PageOfAddresses};
use crate::machine;
use crate::types::PAGE_SIZE;
use core::arch::x86_64::__cpuid;

#[unsafe(link_section = ".pages")]
static CONSOLE: PageOfAddresses = PageOfAddresses::new();
#[unsafe(link_section = ".pages")]
static STORE: PageOfAddresses = PageOfAddresses::new();

/// Called by the entry code on the image's own stack, with the physical address of `hvm_start_info`.
pub(super) extern "C" fn pvh_main(start_info: u32) -> ! {
    cpu::init();
    guest::enable_vectors(__cpuid(1).ecx);
    if !xen::find() {
        start_without_xen(start_info)
    }
    map_shared_info();
    let cpu_at_entry = guest::greet();
    let (command_line, mut map) = start_info::take(start_info);
    // Where the domain may grow (`maxmem`) the map has more than Xen has memory for.
    let there = xen::pages_there();
    if there < map.total() {
        map.keep(there.saturating_sub(xen::SPECIAL_PAGES));
    }
    guest::keep_told(command_line);
    paging::init(&map);
    let console = xen::ring(PARAM_CONSOLE_PFN, PARAM_CONSOLE_EVTCHN, &CONSOLE);
    guest::console_is_at(&console);
    let xenstore = xen::ring(PARAM_STORE_PFN, PARAM_STORE_EVTCHN, &STORE);
    guest::enter(command_line, console, xenstore, cpu_at_entry)
}

fn start_without_xen(start_info: u32) -> ! {
    machine::found();
    machine::has_tables_at(start_info::rsdp(start_info));
    let (command_line, map) = start_info::take(start_info);
    paging::init(&map);
    machine::init();
    guest::enter_without_xen(command_line)
}

fn map_shared_info() {
    let frame = (memory::shared_info().addr() - VIRT_BASE) / PAGE_SIZE;
    // SAFETY: the page of the image that lies there is used for nothing but its address.
    if let Err(errno) = unsafe { xen::add_to_physmap(XENMAPSPACE_SHARED_INFO, 0, frame as u64) } {
        guest::crash(format_args!("fata: no shared info page: errno {errno}\n"))
    }
}
