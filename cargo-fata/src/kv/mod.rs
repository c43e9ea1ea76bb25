//! `cargo fata kv`: looks into a key-value store of `fata-storage` in a file or on a block device of this machine, while no guest
//! uses it. The store's own code does it; a file that another process has open is refused.

mod text;

use std::cell::RefCell;
use std::io::{BufRead, BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use fata_libos::block::{Access, BlockError, Disk};
use fata_libos::task::block_on;
use fata_storage::kv::{Batch, Cursor, Durability, Error, OnDamage, Options, Report, Store};
use fata_unix::UnixPlatform;
use fata_unix::disk::FileDisk;

use crate::cli::{KvCommand, KvStore};
use crate::ui;

/// Pairs are loaded in batches of so many octets.
const BATCH: u64 = 256 << 10;
/// What makes a line may be escapes throughout, four octets for one.
const LONGEST_LINE: usize = 4 * (fata_storage::kv::MAX_KEY + fata_storage::kv::MAX_VALUE) + 2;

/// The command itself.
pub fn run(command: &KvCommand) -> Result<ExitCode> {
    match command {
        KvCommand::Dump { store, prefix, keys, salvage } => {
            let prefix = text::unescape(prefix.as_bytes()).context("the prefix")?;
            let out = RefCell::new(BufWriter::new(std::io::stdout().lock()));
            on(store, Access::ReadOnly, async |disk| dump(disk, &prefix, *keys, *salvage, &out).await)
        }
        KvCommand::Check { store } => on(store, Access::ReadOnly, check),
        KvCommand::Load { store, format } => {
            on(store, Access::ReadWrite, async |disk| load(disk, *format, &mut std::io::stdin().lock()).await)
        }
    }
}

/// Opens the file and does something with it. Errors name the file.
fn on(store: &KvStore, access: Access, work: impl AsyncFnOnce(Disk) -> Result<ExitCode>) -> Result<ExitCode> {
    let path = store.file.to_str().context("the file's name is not UTF-8")?;
    let platform = UnixPlatform::new()?;
    let disk = FileDisk::open(platform.reactor(), "store", path, access)?;
    block_on(platform, async { work(Disk::new(disk)).await.with_context(|| path.to_owned()) })
}

fn options(access: Access, salvage: bool) -> Options {
    let damage = if salvage { OnDamage::Salvage } else { OnDamage::Refuse };
    // A machine that runs this tool has memory.
    Options { access, damage, cache: 16 << 20, ..Options::default() }
}

/// Whether an error is of a part of the disk, the rest of which can be read: octets that changed, or a bad sector.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::Block(BlockError::Failed { .. }))
}

async fn open(disk: &Disk, options: Options) -> Result<Store> {
    Store::open(disk, options).await.map_err(|error| match error {
        error if is_damage(&error) => {
            anyhow::anyhow!("{error}; `cargo fata kv dump --salvage` reads what is whole")
        }
        _ => error.into(),
    })
}

/// A line for each pair, in the order of keys. What cannot be read is said, and counts as failure; the rest is dumped.
async fn dump(
    disk: Disk,
    prefix: &[u8],
    keys: bool,
    salvage: bool,
    out: &RefCell<impl Write>,
) -> Result<ExitCode> {
    let store = open(&disk, options(Access::ReadOnly, salvage)).await?;
    let mut cursor = store.prefix(prefix);
    let mut failures = 0_u64;
    loop {
        match next(&mut cursor, keys).await {
            Ok(Some((key, value))) => out.borrow_mut().write_all(&text::line(&key, value.as_deref()))?,
            Ok(None) => break,
            Err(error) if is_damage(&error) => {
                failures += 1;
                ui::say(error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    out.borrow_mut().flush()?;
    let lost = store.stats().lost_frames;
    if lost > 0 {
        ui::say(format!("{lost} damaged frames of the log are left out"));
    }
    Ok(if failures + lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Pair = (Vec<u8>, Option<Vec<u8>>);

async fn next(cursor: &mut Cursor, keys: bool) -> Result<Option<Pair>, Error> {
    if keys {
        return Ok(cursor.next_key().await?.map(|key| (key, None)));
    }
    Ok(cursor.next().await?.map(|(key, value)| (key, Some(value))))
}

async fn check(disk: Disk) -> Result<ExitCode> {
    let salvaged = open(&disk, options(Access::ReadOnly, true)).await?;
    let report = salvaged.check().await?;
    let stats = salvaged.stats();
    print!("{}", described(&report, stats.lost_frames));
    println!(
        "segments       {} of {} octets, {} free",
        stats.segments, stats.segment_octets, stats.free_segments
    );
    Ok(if report.is_whole() && stats.lost_frames == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn described(report: &Report, lost_frames: u64) -> String {
    let mut text = format!(
        "keys           {}, with their values {} octets\n\
         index          {} nodes on {} levels\n\
         superblocks    {} of 2\n",
        report.keys, report.octets, report.nodes, report.levels, report.superblocks
    );
    let mut fault = |count: u64, what: &str| {
        if count > 0 {
            text += &format!("WRONG          {count} {what}\n");
        }
    };
    fault(report.errors, "parts could not be read");
    fault(lost_frames, "frames of the log are damaged");
    fault(report.miscounted_segments, "segments are counted wrongly");
    report.first_errors.iter().for_each(|error| text += &format!("               {error}\n"));
    if report.is_whole() && lost_frames == 0 {
        text += "whole\n";
    }
    text
}

/// Puts the pairs of lines as [`dump`] prints them into the store, those that are there already anew.
async fn load(disk: Disk, format: bool, input: &mut impl BufRead) -> Result<ExitCode> {
    if format {
        let found = Store::open(&disk, options(Access::ReadOnly, true)).await;
        ensure!(matches!(found, Err(Error::NoStore)), "there is a store already: --format would destroy it");
        Store::format(&disk, &Options::default()).await?;
    }
    let store = open(&disk, options(Access::ReadWrite, false)).await.map_err(|error| {
        let hint = matches!(error.downcast_ref(), Some(Error::NoStore));
        if hint { error.context("--format makes one") } else { error }
    })?;
    let (mut batch, mut pairs, mut number) = (Batch::new(), 0_u64, 0_u64);
    let mut line = Vec::new();
    let most = BATCH.min(store.max_batch() / 2);
    loop {
        line.clear();
        let read = std::io::Read::take(&mut *input, LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
        number += 1;
        if read > 0 && line.trim_ascii().is_empty() {
            continue;
        }
        if read > 0 {
            let (key, value) = text::pair(&line).with_context(|| format!("line {number}"))?;
            if batch.octets() + (key.len() + value.len()) as u64 > most && !batch.is_empty() {
                store.commit(core::mem::take(&mut batch), Durability::Written).await?;
            }
            batch.put(key, value);
            pairs += 1;
            continue;
        }
        if !batch.is_empty() {
            store
                .commit(batch, Durability::Flushed)
                .await
                .with_context(|| format!("before line {number}"))?;
        }
        break;
    }
    store.close().await?;
    ui::say(format!("{pairs} pairs loaded"));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_storage::testing::SimDisk;

    fn try_dump(disk: &Disk, salvage: bool) -> Result<String> {
        let out = RefCell::new(Vec::new());
        fata_libos::testing::run(dump(disk.clone(), b"", false, salvage, &out))?;
        Ok(String::from_utf8(out.into_inner()).unwrap())
    }

    fn dumped(disk: &Disk) -> String {
        try_dump(disk, false).unwrap()
    }

    fn loaded(disk: &Disk, format: bool, text: &str) -> Result<ExitCode> {
        fata_libos::testing::run(load(disk.clone(), format, &mut text.as_bytes()))
    }

    #[test]
    fn what_is_dumped_can_be_loaded() {
        let disk = SimDisk::new(512, 16384).disk();
        let large = "x".repeat(100_000);
        let lines = format!("a\t1\nb\\x00\\t\t\\n\\xff\nempty\t\nlarge\t{large}\n");
        loaded(&disk, true, &lines).unwrap();
        assert_eq!(dumped(&disk), lines);
        let copy = SimDisk::new(4096, 2048).disk();
        loaded(&copy, true, &dumped(&disk)).unwrap();
        assert_eq!(dumped(&copy), lines);
        loaded(&copy, false, "a\t2\n").unwrap();
        assert!(dumped(&copy).starts_with("a\t2\nb"));
    }

    #[test]
    fn what_is_there_is_not_destroyed() {
        let disk = SimDisk::new(512, 16384).disk();
        let error = loaded(&disk, false, "a\t1\n").unwrap_err();
        assert_eq!(format!("{error:#}"), "--format makes one: there is no store on the disk");
        loaded(&disk, true, "a\t1\n").unwrap();
        let error = loaded(&disk, true, "b\t1\n").unwrap_err().to_string();
        assert!(error.contains("--format would destroy it"), "{error}");
        assert_eq!(dumped(&disk), "a\t1\n");
    }

    #[test]
    fn a_bad_sector_costs_what_is_in_it() {
        let sim = SimDisk::new(512, 16384);
        let disk = sim.disk();
        let value = "x".repeat(2000);
        let lines: String = (0..100).map(|n| format!("key {n:03}\t{value}\n")).collect();
        loaded(&disk, true, &lines).unwrap();
        // Each in some values.
        for sector in [130, 200, 300, 388] {
            sim.break_reads(sector);
            let found = dumped(&disk);
            assert!(found.lines().all(|line| lines.contains(line)));
            assert!((90..100).contains(&found.lines().count()), "sector {sector}");
            assert_eq!(try_dump(&disk, true).unwrap(), found);
            sim.repair();
        }
    }

    #[test]
    fn who_meets_a_bad_sector_in_the_log_is_told_of_salvage() {
        let sim = SimDisk::new(512, 16384);
        let disk = sim.disk();
        fata_libos::testing::run(async {
            Store::format(&disk, &Options::default()).await.unwrap();
            let store = Store::open(&disk, Options::default()).await.unwrap();
            store.put("a", "1").await.unwrap();
            store.put("b", "2").await.unwrap();
            core::mem::forget(store);
        });
        // The header of the log's first segment.
        sim.break_reads(128);
        let error = try_dump(&disk, false).unwrap_err().to_string();
        assert!(error.contains("the device failed") && error.contains("--salvage"), "{error}");
        assert_eq!(try_dump(&disk, true).unwrap(), "a\t1\nb\t2\n");
    }

    #[test]
    fn a_bad_line_is_named() {
        let disk = SimDisk::new(512, 16384).disk();
        for (lines, said) in [
            ("a\t1\nb\n", "line 2: no tab between key and value"),
            ("a\t1\n\nb\t\\q\n", "line 3: \\ before an octet that makes no escape"),
            ("\t1\n", "a key of 0 octets"),
        ] {
            let error = loaded(&disk, said.starts_with("line 2"), lines).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }

    #[test]
    fn reports_say_what_is_wrong() {
        let mut report = Report::default();
        (report.keys, report.superblocks) = (3, 2);
        assert!(described(&report, 0).ends_with("superblocks    2 of 2\nwhole\n"));
        (report.errors, report.superblocks) = (1, 1);
        let text = described(&report, 7);
        assert!(text.contains("WRONG          1 parts could not be read\n"), "{text}");
        assert!(text.contains("WRONG          7 frames of the log are damaged\n") && !text.contains("whole"));
    }

    #[test]
    fn files_are_named_in_errors() {
        let store = KvStore { file: "/nowhere/at/all".into() };
        let error = run(&KvCommand::Check { store }).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/at/all"), "{error:#}");
    }
}
