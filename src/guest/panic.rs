//! A panic ends the guest: its message, its place and the calls that led there go to the console first.

use core::panic::PanicInfo;
use fata_libos::task::Doing;
use fata_xen::guest as xen_guest;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let calls = xen_guest::backtrace();
    xen_guest::panic(format_args!("\nfata: {info}\n{Doing}\n{calls}"))
}
