//! The guest by itself: boot, memory, clocks, console, log, boot parameters.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use super::{BootTest, probe};
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, GuestSpec};

const SOON: Duration = Duration::from_secs(20);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::guest::hello_in_4_mib", 60, hello_in_4_mib).both().on_both_boards(),
    BootTest::new("boot::guest::memory_on_both_sides_of_4_gib", 60, memory_on_both_sides_of_4_gib)
        .without_xen(),
    BootTest::new("boot::guest::memory_64_mib", 60, |h| fills_memory(h, 64, 90)).both().on_both_boards(),
    BootTest::new("boot::guest::memory_16_mib", 60, |h| fills_memory(h, 16, 88)).on_qemu_long(),
    // With each change a guest of 5000 MiB starts: memory_on_both_sides_of_4_gib.
    BootTest::new("boot::guest::memory_2_gib", 240, |h| fills_memory(h, 2048, 90)).long().on_qemu_long(),
    BootTest::new("boot::guest::memory_below_maxmem", 120, memory_below_maxmem).both(),
    BootTest::new("boot::guest::memory_8_gib", 1500, |h| fills_memory(h, 8192, 90))
        .long()
        .host_memory(10_500)
        .on_qemu_long()
        .alone(),
    BootTest::new("boot::guest::large_image", 60, large_image).both().on_qemu(),
    BootTest::new("boot::guest::boot_does_not_pay_for_memory", 240, boot_does_not_pay_for_memory)
        .long()
        .on_qemu_long()
        .alone(),
    BootTest::new("boot::guest::idle_costs_nothing", 60, idle_costs_nothing).on_qemu_long().alone(),
    BootTest::new("boot::guest::timers", 60, timers).both().on_qemu(),
    BootTest::new("boot::guest::clock_passes_evenly", 90, clock_passes_evenly).both().on_qemu(),
    BootTest::new("boot::guest::wall_clock", 60, wall_clock).both().on_both_boards(),
    BootTest::new("boot::guest::console_input", 60, console_input).both().on_both_boards(),
    BootTest::new("boot::guest::log_filter", 60, log_filter).on_qemu_long(),
    BootTest::new("boot::guest::error_of_main", 60, error_of_main).on_qemu(),
    BootTest::new("boot::guest::random_octets_differ", 90, random_octets_differ).both().on_both_boards(),
    BootTest::new(
        "boot::guest::generators_that_xen_hides_are_not_used",
        60,
        generators_that_xen_hides_are_not_used,
    )
    .both(),
    BootTest::new("boot::guest::vector_registers", 60, vector_registers).both().on_both_boards(),
    BootTest::new("boot::guest::known_answers", 60, known_answers).both(),
];

/// On q35 the memory is then in pieces on both sides of 4 GiB, which a guest of the default size never sees.
fn memory_on_both_sides_of_4_gib(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("hello", image("hello")?).memory(5000))?;
    guest.wait_console("hello", SOON)?;
    let end = guest.wait_gone(SOON)?;
    ensure!(end == End::PowerOff, "it ended with {end:?}: {}", guest.console());
    Ok(())
}

fn hello_in_4_mib(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("hello", image("hello")?).memory(4))?;
    guest.wait_console("hello from Fata", SOON)?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off");
    Ok(())
}

fn fills_memory(host: &mut Host, memory_mb: u32, percent: u64) -> Result<()> {
    let guest = host.create(&probe("memory")?.memory(memory_mb))?;
    let end = guest.wait_gone(Duration::from_secs(1400))?;
    let console = guest.console();
    ensure!(end == End::PowerOff, "it ended with {end:?}: {console}");
    for round in ["round 1: ", "round 2: "] {
        let line = console.lines().find_map(|l| l.strip_prefix(round)).context("no figures")?;
        let filled: u64 = line.split(' ').next().unwrap_or_default().parse()?;
        ensure!(filled >= percent, "only {filled} % could be filled: {console}");
    }
    Ok(())
}

/// A domain that may grow has, until it does, what `memory` says, and fills that.
fn memory_below_maxmem(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("memory")?.memory(32).config("maxmem = 128"))?;
    let end = guest.wait_gone(Duration::from_secs(60))?;
    let console = guest.console();
    ensure!(end == End::PowerOff, "it ended with {end:?}: {console}");
    let line = console.lines().find_map(|l| l.strip_prefix("round 2: ")).context("no figures")?;
    let figures: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [percent, kib] = figures[..] else { bail!("no figures in {line:?}") };
    ensure!(percent >= 88 && (30 << 10..=32 << 10).contains(&kib), "{console}");
    Ok(())
}

fn large_image(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("large", image("large")?))?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::PowerOff, "it ended with {end:?}: {console}");
    ensure!(console.contains("constants: 11900000"), "its constants are wrong: {console}");
    ensure!(console.contains("round 2: "), "its memory could not be filled: {console}");
    Ok(())
}

/// The same work in a guest with a hundred times the memory costs at most twice the processor time.
fn boot_does_not_pay_for_memory(host: &mut Host) -> Result<()> {
    let mut cost = |memory_mb| -> Result<u64> {
        for _ in 0..5 {
            if let Some(ns) = cost_of_start(host, memory_mb)? {
                return Ok(ns);
            }
        }
        bail!("with {memory_mb} MiB five guests ran for 0 ns")
    };
    // Emulated, the guest's time has the host's other work in it: the least of some counts.
    let (mut small, mut large) = (cost(16)?.min(cost(16)?), cost(1600)?);
    for _ in 0..4 {
        if large < 2 * small + 2_000_000 {
            return Ok(());
        }
        (small, large) = (small.min(cost(16)?), large.min(cost(1600)?));
    }
    bail!("16 MiB: {small} ns, 1600 MiB: {large} ns")
}

/// What a guest has spent once it has begun and spends nothing more, ns: on a busy host that takes a while.
///
/// `None` where that is nothing. On a busy machine the clocks of the emulated processors differ by more than such a guest
/// runs: one that another processor woke runs at a time before it was woken, and Xen accounts nothing.
fn cost_of_start(host: &mut Host, memory_mb: u32) -> Result<Option<u64>> {
    // A QEMU alone turns over in its sleep.
    const ASLEEP: u64 = 5_000_000;
    let guest = host.create(&probe("deaf")?.memory(memory_mb))?;
    let mut last = 0;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_secs(1));
        let now = guest.cpu_ns()?;
        if last > 0 && now - last < ASLEEP {
            return Ok(Some(now));
        }
        last = now;
    }
    ensure!(last == 0, "with {memory_mb} MiB it is not done after 20 s: {last} ns");
    Ok(None)
}

fn idle_costs_nothing(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("idle")?)?;
    guest.wait_console("idle", SOON)?;
    let before = guest.cpu_ns()?;
    std::thread::sleep(Duration::from_secs(10));
    let spent = guest.cpu_ns()? - before;
    ensure!(spent <= 100_000_000, "10 s idle cost {spent} ns");
    guest.wait_console("awake", SOON)?;
    Ok(())
}

fn timers(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("timers")?)?;
    guest.wait_console("timers done", SOON)?;
    Ok(())
}

/// Several, as they begin at different moments of the second between two of Xen's time stamps.
fn clock_passes_evenly(host: &mut Host) -> Result<()> {
    for _ in 0..3 {
        let guest = host.create(&probe("even")?)?;
        guest.wait_console("evenly", SOON)?;
        ensure!(guest.wait_gone(SOON)? == End::PowerOff, "{}", guest.console());
    }
    Ok(())
}

fn wall_clock(host: &mut Host) -> Result<()> {
    let seconds = |text: &str| -> Result<f64> { Ok(text.trim().parse()?) };
    let before = seconds(&host.sh("date +%s.%N", SOON)?.ok()?.stdout)?;
    let guest = host.create(&probe("clock")?)?;
    guest.wait_gone(SOON)?;
    let after = seconds(&host.sh("date +%s.%N", SOON)?.ok()?.stdout)?;
    let console = guest.console();
    let line = console.lines().find_map(|l| l.strip_prefix("wall ")).context("it printed no time")?;
    let (said, date) = line.split_once(' ').context("no date")?;
    let said: f64 = said.parse()?;
    ensure!((before - 2.0..=after + 2.0).contains(&said), "dom0: {before} to {after}, guest: {said}");
    let here = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    ensure!((here - said).abs() < 3600.0 && date.starts_with("20"), "here {here}, guest {said} {date}");
    Ok(())
}

fn console_input(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("console")?)?;
    guest.wait_console("type", SOON)?;
    guest.type_line("good morning")?;
    guest.wait_console("12 octets: good morning", SOON)?;
    let long = "x".repeat(3000);
    guest.type_line(&long)?;
    guest.wait_console(&format!("3000 octets: {long}"), SOON)?;
    guest.type_line("a\nb")?;
    guest.wait_console("1 octets: b", SOON)?;
    guest.type_line("end")?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off");
    Ok(())
}

fn log_filter(host: &mut Host) -> Result<()> {
    let mut said = |filter: &str| -> Result<String> {
        let guest = host.create(&probe("log")?.extra(&format!("log={filter}")))?;
        guest.wait_gone(SOON)?;
        Ok(guest.console())
    };
    let console = said("warn,other=debug")?;
    let there = ["ERROR probe: an error", "ERROR other::inner: an error", "DEBUG other::inner: a detail"];
    for line in there {
        ensure!(console.contains(line), "no {line:?} in {console}");
    }
    for line in ["INFO  probe", "DEBUG probe"] {
        ensure!(!console.contains(line), "{line:?} in {console}");
    }
    ensure!(!said("off")?.contains("an error"), "log=off was not off");
    Ok(())
}

fn error_of_main(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("error")?)?;
    guest.wait_console("this main ends with an error", SOON)?;
    ensure!(guest.wait_gone(SOON)? == End::Crash, "an error of main is no power-off");
    Ok(())
}

/// Two starts of one image have other octets, of all sources that QEMU's processor has.
fn random_octets_differ(host: &mut Host) -> Result<()> {
    let mut octets = || -> Result<String> {
        let guest = host.create(&probe("random")?)?;
        ensure!(guest.wait_gone(SOON)? == End::PowerOff, "{}", guest.console());
        let console = guest.console();
        let line = console.lines().find_map(|l| l.strip_prefix("random ")).context("no octets")?;
        ensure!(line.len() == 64 && line.chars().all(|c| c.is_ascii_hexdigit()), "{line:?}");
        for source in ["Rdrand", "Boot", "Jitter"] {
            ensure!(console.contains(&format!("source {source}")), "no {source}: {console}");
        }
        Ok(line.to_owned())
    };
    let (first, second) = (octets()?, octets()?);
    ensure!(first != second, "two guests have {first}");
    Ok(())
}

/// The processor has RDRAND, and Xen does not let this domain have it: it is Xen that counts, also for a PV guest, whose own CPUID
/// may be the processor's.
fn generators_that_xen_hides_are_not_used(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("random")?.config("cpuid = 'host,rdrand=0,rdseed=0'"))?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "{}", guest.console());
    let console = guest.console();
    let said =
        "refused: no entropy: the processor has neither RDSEED nor RDRAND, and the machine has no virtio-rng";
    ensure!(console.contains(said) && !console.contains("source"), "{console}");
    Ok(())
}

/// Of ciphers, hash and generator. By which code they are given, QEMU alone shows: `virtio::known_answers`.
fn known_answers(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("ciphers", image("ciphers")?))?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "{}", guest.console());
    ensure!(guest.console().contains("generator good"), "{}", guest.console());
    Ok(())
}

/// What libraries of cryptography ask for is there, and registers are kept while others run.
fn vector_registers(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("vectors")?)?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "{}", guest.console());
    let console = guest.console();
    for line in ["avx 1 osxsave 1 aes 1 pclmulqdq 1", "xcr0 7", "vectors kept"] {
        ensure!(console.contains(line), "no {line:?}: {console}");
    }
    Ok(())
}
