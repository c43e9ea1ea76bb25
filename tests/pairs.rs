//! Pairs of a disk while a server runs, in virtual time: OCSP responses that come and go with the clock, and pairs that cannot be kept at once.

use fata::block::{Access, Disk};
use fata::https::disk::{self, Begun, Seen};
use fata::https::{Keeper, Maker, Pair, Shown, Site};
use fata::time::{Duration, SystemTime, timeout};
use fata_libos::testing::{VirtualPlatform, run_on};
use fata_storage::disk::{Fault, Faults};
use fata_storage::fat::{Format, Volume};
use fata_storage::testing::SimDisk;
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Command;
use std::rc::Rc;
use std::sync::Once;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged, each thread for itself.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        SAID.with_borrow_mut(|said| said.push(record.args().to_string()));
    }
    fn flush(&self) {}
}

/// How many lines of the log have this in them.
fn said(what: &str) -> usize {
    SAID.with_borrow(|said| said.iter().filter(|line| line.contains(what)).count())
}

fn platform() -> &'static VirtualPlatform {
    static LOG: Once = Once::new();
    LOG.call_once(|| {
        log::set_logger(&Log).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    VirtualPlatform::new()
}

/// The clock of the machine that the test runs on, by which openssl writes its dates.
fn real_now() -> Duration {
    std::time::UNIX_EPOCH.elapsed().unwrap()
}

/// A folder with a pair of a certificate that is its own authority, and an OCSP response about it for so many days.
struct Stapled(PathBuf);

impl Stapled {
    fn new(name: &str, days: u32) -> Self {
        let folder = std::env::temp_dir().join(format!("fata-pairs-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let stapled = Self(folder);
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem";
        let names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost -set_serial 4097";
        stapled.openssl(&format!("req -x509 {key} -out chain.pem {names} -days 99"));
        fs::write(stapled.0.join("index"), "V\t491231235959Z\t\t1001\tunknown\t/CN=localhost\n").unwrap();
        stapled.openssl("ocsp -issuer chain.pem -cert chain.pem -reqout request");
        let signer = "-rsigner chain.pem -rkey key.pem -CA chain.pem";
        stapled
            .openssl(&format!("ocsp -index index {signer} -reqin request -respout ocsp.der -ndays {days}"));
        stapled
    }

    fn openssl(&self, arguments: &str) {
        let output =
            Command::new("openssl").args(arguments.split(' ')).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn volume(&self) -> SimDisk {
        let sim = empty_volume().await;
        let volume = Volume::mount(sim.disk()).await.unwrap();
        for name in ["chain.pem", "key.pem", "ocsp.der"] {
            volume.write(name, &fs::read(self.0.join(name)).unwrap()).await.unwrap();
        }
        volume.sync().await.unwrap();
        sim
    }
}

impl Drop for Stapled {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn empty_volume() -> SimDisk {
    let sim = SimDisk::new(512, 4096);
    Format::new().write(&sim.disk()).await.unwrap();
    sim
}

fn maker(days: u32) -> Maker {
    Maker { names: "localhost".into(), valid: days * DAY }
}

async fn pair(disk: &Disk) -> Pair {
    match disk::look(&disk::open(disk).await.unwrap(), "").await.unwrap() {
        // The mark of one that was not finished may be all that could not be taken away.
        Seen::Pair(pair) | Seen::Marked(pair) => pair,
        _ => panic!("no pair"),
    }
}

fn shown(pair: Pair) -> Rc<Shown> {
    Shown::new(vec![pair], Rc::default(), Rc::default(), |config| config).unwrap()
}

fn keeper(shown: &Rc<Shown>, disk: &Disk, every: Duration) -> Keeper {
    Keeper::new(vec![Site::new(0, "", maker(800))], shown.clone()).on_disk(disk.clone(), every)
}

/// The clock was wrong when the server began: what a responder said is shown when it has been put right, though the disk is never looked at
/// again. It is not shown any more when its time is over.
#[test]
fn an_ocsp_response_comes_and_goes_with_the_clock() {
    let platform = platform();
    run_on(platform, async {
        let stapled = Stapled::new("clock", 2);
        let now = real_now();
        for (wrong, why) in [(now - 3 * HOUR, "early"), (now + 5 * DAY, "late")] {
            let began = SystemTime::now().since_unix() - platform.wall_start.get();
            platform.wall_start.set(wrong - began);
            let disk = stapled.volume().await.disk();
            let shown = shown(pair(&disk).await);
            let ends = || shown.reloads.ocsp_expires.get();
            let mut keeping = pin!(keeper(&shown, &disk, Duration::ZERO).run());
            assert!(timeout(HOUR + SECOND, keeping.as_mut()).await.is_err(), "{why}: nothing is looked for");
            assert_eq!((ends(), shown.reloads.ocsp_refused.get()), (0, 1), "{why}");

            let passed = SystemTime::now().since_unix() - platform.wall_start.get();
            platform.wall_start.set(now - passed);
            assert!(timeout(HOUR + SECOND, keeping.as_mut()).await.is_err());
            assert!(ends() > (now + DAY).as_secs(), "{why}: it is not shown");
            assert_eq!(shown.reloads.done.get(), 1, "{why}");

            let end = ends();
            let left = Duration::from_secs(end) - SystemTime::now().since_unix();
            assert!(timeout(left - SECOND, keeping.as_mut()).await.is_err());
            assert_eq!(ends(), end, "{why}: it is shown to its end");
            assert!(timeout(2 * SECOND, keeping.as_mut()).await.is_err());
            assert_eq!((ends(), shown.reloads.done.get()), (0, 2), "{why}: it has ended");
        }
        assert_eq!(said("the OCSP response is not of now; clients are shown none"), 4);
        assert_eq!(shown_lines(), 4);
    });
}

/// A server whose clock stands at 1970 makes no certificate, keeps none, and leaves one alone that is there; it says what the clock says.
#[test]
fn nothing_is_made_by_a_clock_that_is_not_set() {
    const NO_CLOCK: &str = "the clock says 1970-01-02T";
    let platform = platform();
    let right = platform.wall_start.get();
    run_on(platform, async {
        platform.wall_start.set(DAY);
        let disk = empty_volume().await.disk();
        let error = disk::read_or_make(&disk, &maker(800)).await.err().unwrap().to_string();
        assert!(error.starts_with(&format!("the certificate: {NO_CLOCK}")), "{error}");
        let store = disk::open(&disk).await.unwrap();
        assert!(matches!(disk::look(&store, "").await, Ok(Seen::Nothing)), "it was kept");
        drop(store);

        platform.wall_start.set(right);
        let Begun::Made(made) = disk::read_or_make(&disk, &maker(800)).await.unwrap() else { panic!() };
        platform.wall_start.set(DAY);
        let early = made.check_dates(SystemTime::now()).unwrap_err().to_string();
        assert!(early.starts_with(&format!("the certificate is not valid yet; {NO_CLOCK}")), "{early}");
        let Begun::Kept(kept) = disk::read_or_make(&disk, &maker(800)).await.unwrap() else { panic!() };
        assert!(kept == made && pair(&disk).await == made);
        let late = made.check_dates(SystemTime::from_unix(right + 801 * DAY)).unwrap_err().to_string();
        assert!(late.starts_with("the certificate has expired; the clock says 2028-"), "{late}");

        // It is tried again and again, and said once.
        SAID.take();
        let shown = shown(kept);
        let mut keeping = pin!(keeper(&shown, &disk, HOUR).run());
        assert!(timeout(10 * HOUR, keeping.as_mut()).await.is_err());
        assert_eq!((said(NO_CLOCK), shown.reloads.refused.get()), (1, 1));
        assert!(pair(&disk).await == made);
    });
}

fn shown_lines() -> usize {
    said("another certificate is shown from now on")
}

/// It ends at its time too where the disk cannot be read by then, or has half of another pair.
#[test]
fn an_ocsp_response_ends_whatever_the_disk_has() {
    let platform = platform();
    run_on(platform, async {
        let stapled = Stapled::new("ends", 1);
        for is_readable in [true, false] {
            let began = SystemTime::now().since_unix() - platform.wall_start.get();
            platform.wall_start.set(real_now() - began);
            let sim = stapled.volume().await;
            let disk = sim.disk();
            let shown = shown(pair(&disk).await);
            assert!(shown.reloads.ocsp_expires.get() > 0);
            if is_readable {
                let volume = Volume::mount(disk.clone()).await.unwrap();
                let key = maker(800).make().unwrap().key;
                volume.write("key.pem", key.as_bytes()).await.unwrap();
                volume.sync().await.unwrap();
            } else {
                (0..64).for_each(|sector| sim.break_reads(sector));
            }
            let mut keeping = pin!(keeper(&shown, &disk, 2 * HOUR).run());
            assert!(timeout(DAY - HOUR, keeping.as_mut()).await.is_err());
            assert!(shown.reloads.ocsp_expires.get() > 0);
            assert!(timeout(2 * HOUR, keeping.as_mut()).await.is_err());
            assert_eq!(shown.reloads.ocsp_expires.get(), 0, "{is_readable}");
            assert_eq!(shown.reloads.refused.get(), 1, "what is wrong with the disk is counted once");
        }
    });
}

/// Another pair that is due cannot be written: it is said and counted once, the one before is shown, and it is tried again until it is there.
#[test]
fn a_pair_that_cannot_be_kept_is_made_again() {
    let platform = platform();
    run_on(platform, async {
        for every in [Duration::ZERO, HOUR] {
            SAID.take();
            let sim = empty_volume().await;
            let disk = sim.disk();
            let Begun::Made(first) = disk::read_or_make(&disk, &maker(1)).await.unwrap() else { panic!() };
            let shown = shown(first.clone());
            let mut keeping = pin!(keeper(&shown, &disk, every).run());
            sim.set_access(Access::ReadOnly);
            assert!(timeout(20 * HOUR, keeping.as_mut()).await.is_err());
            assert_eq!((shown.reloads.done.get(), shown.reloads.refused.get()), (0, 1));
            assert_eq!(said("the certificate ends soon, and another one cannot be kept: "), 1);
            assert!(shown.pair(0).unwrap() == first);
            sim.set_access(Access::ReadWrite);
            assert!(timeout(HOUR + SECOND, keeping.as_mut()).await.is_err());
            assert_eq!((shown.reloads.done.get(), shown_lines()), (1, 1));
            assert!(shown.pair(0).unwrap() == pair(&disk).await && shown.pair(0).unwrap() != first);
        }
    });
}

/// Whichever write or flush of it fails, the next try ends with a pair that is shown and on the disk.
#[test]
fn a_pair_whose_writing_was_cut_off_is_made_again() {
    let platform = platform();
    run_on(platform, async {
        for flush in [true, false] {
            for after in 0.. {
                let sim = empty_volume().await;
                let faults = Faults::new(&sim.disk());
                let disk = faults.disk();
                let Begun::Made(first) = disk::read_or_make(&disk, &maker(1)).await.unwrap() else {
                    panic!()
                };
                let shown = shown(first.clone());
                faults.add(if flush { Fault::Flush { after } } else { Fault::Torn { after, sectors: 0 } });
                let keeping = keeper(&shown, &disk, HOUR).run();
                assert!(timeout(18 * HOUR, keeping).await.is_err());
                let refused = shown.reloads.refused.get();
                assert_eq!((shown.reloads.done.get(), refused <= 1), (1, true), "{flush} {after}");
                let now = shown.pair(0).unwrap();
                assert!(now == pair(&disk).await && now != first, "{flush} {after}");
                if refused == 0 {
                    assert!(after > 2, "{flush}: no more than {after}");
                    break;
                }
            }
        }
    });
}
