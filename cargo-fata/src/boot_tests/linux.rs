//! A Linux guest on the host: that guests, their consoles and their ends are handled as the other tests trust they are.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::BootTest;
use crate::xen_host::Host;
use crate::xen_host::guest::End;
use crate::xen_host::linux_guest;

/// Linux needs about 15 s to boot under emulation.
const BOOT: Duration = Duration::from_secs(120);
const QUICK: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] =
    &[BootTest::new("boot::linux::serves_and_powers_off", 400, serves_and_powers_off)
        .pv_only("Linux dies of the rdtscp that QEMU emulates wrongly under SVM")
        .long()];

fn serves_and_powers_off(host: &mut Host) -> Result<()> {
    let linux = linux_guest::build(&linux_guest::SERVERS, &[("index.html", b"a page of linux")])?;
    let spec = linux.spec(host, "10.0.2.16/24", 256)?;
    let guest = host.create(&spec)?;
    guest.wait_console(linux_guest::READY, BOOT)?;
    let page = host.sh("curl -s --max-time 20 http://10.0.2.16/", QUICK)?.ok()?.stdout;
    ensure!(page == "a page of linux", "curl got {page:?}");
    ensure!(guest.cpu_ns()? > 100_000_000, "Linux cannot boot in {} ns", guest.cpu_ns()?);
    guest.type_line("poweroff")?;
    let end = guest.wait_gone(QUICK)?;
    ensure!(end == End::PowerOff, "it {end}");
    Ok(())
}
