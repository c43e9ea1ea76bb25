//! How fast a bulk of octets gets over bad lines, in virtual time: a table beside smoltcp's, kept in
//! `tests/throughput.txt`. `FATA_UPDATE=1 cargo test -p fata-netstack --test throughput` writes it anew.

#[path = "sim/ours.rs"]
mod ours;
mod sim;
#[path = "sim/smol.rs"]
mod smol;

use fata_libos::time::{Duration, Instant};
use ours::Ours;
use sim::{App, Endpoint, Line, Link, Loss, Network, Pace, Stop};
use smol::Smol;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Octets of one transfer.
const OCTETS: u64 = 8 << 20;
/// The most time that one may take; what is there by then counts.
const MOST: Duration = Duration::from_secs(60);
/// Each end's buffers: twice what is on its way at 100 Mbit/s and 100 ms.
const BUFFER: usize = (4 << 20) - 1;

/// The most octets that the device takes at a time.
const LARGE: usize = 65_000;

/// Whose TCP is at both ends.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Ours,
    /// With large sends, which the device cuts into segments.
    OursLarge,
    Smoltcp,
}

/// `merges`: how long devices keep what they bring as one.
fn ends(whose: Whose, merges: Option<Duration>) -> [Box<dyn Endpoint>; 2] {
    match whose {
        Whose::Smoltcp => [Box::new(Smol::new(0, BUFFER)), Box::new(Smol::new(1, BUFFER))],
        Whose::Ours | Whose::OursLarge => {
            let config = ours::config(BUFFER);
            let mut ends = [Ours::connect(0, config.clone(), Instant::default()), Ours::listen(1, config)];
            if matches!(whose, Whose::OursLarge) {
                ends.iter_mut().for_each(|end| end.large = LARGE);
            }
            ends.iter_mut().for_each(|end| end.merges = merges);
            ends.map(|end| Box::new(end) as Box<dyn Endpoint>)
        }
    }
}

/// Throughput in kbit/s of end `from` sending over that line; acknowledgements go over a tenth of its rate.
fn throughput(ends: [Box<dyn Endpoint>; 2], from: usize, line: Line) -> u64 {
    let total = |n: usize| if n == from { OCTETS } else { 0 };
    let app = |n: usize| App::new(n as u8, total(n), total(1 - n), Pace::Bulk, n as u64);
    let mut apps = [app(0), app(1)];
    // Who receives closes after the sender.
    apps[1 - from].closes_last = true;
    let back = Line { rate: line.rate / 10, ..line };
    let lines = if from == 0 { [line, back] } else { [back, line] };
    let links = [Link::new(lines[0], 1), Link::new(lines[1], 2)];
    let mut network = Network::<dyn Endpoint>::new(ends, apps, links);
    let stop = network.run(MOST, |network| network.apps[1 - from].complete_at.is_some());
    let stop = stop.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(matches!(stop, Stop::Reached | Stop::Late), "{}", network.told(&format!("{stop:?}")));
    let app = &network.apps[1 - from];
    let time = app.complete_at.unwrap_or(Instant::default() + MOST).as_nanos();
    app.got * 8 * 1_000_000 / time
}

/// The lines of the table: loss in a million, delay one way, what else is wrong, its name, and how long devices keep what
/// they bring as one.
fn lines() -> Vec<(String, Line, Option<Duration>)> {
    let mut all = vec![];
    for (name, reorder, double) in [("", 0, 0), ("reordering", 20_000, 0), ("doubling", 0, 20_000)] {
        for loss in [0, 100, 1000, 10_000, 50_000] {
            for delay in [1, 10, 50] {
                let delay_time = Duration::from_millis(delay);
                let (loss_kind, late) = (Loss::Random(loss), delay_time / 4 + Duration::from_millis(1));
                let line =
                    Line { delay: delay_time, loss: loss_kind, reorder, late, double, ..Line::default() };
                let percent = f64::from(loss) / 10_000.0;
                all.push((format!("{percent:5} % {delay:3} ms {name:10}"), line, None));
            }
        }
    }
    for loss in [0, 1000, 10_000] {
        let (delay, loss_kind) = (Duration::from_millis(50), Loss::Random(loss));
        let line = Line { delay, loss: loss_kind, queue: 512 << 10, ..Line::default() };
        let percent = f64::from(loss) / 10_000.0;
        all.push((format!("{percent:5} %  50 ms merging   "), line, Some(Duration::from_millis(1))));
    }
    all
}

/// The rows of the table, made by as many threads as there are processors.
fn rows() -> Vec<String> {
    let (lines, next) = (lines(), AtomicUsize::new(0));
    let rows = Mutex::new(vec![String::new(); lines.len()]);
    let work = || {
        while let Some((n, (name, line, merges))) =
            Some(next.fetch_add(1, Relaxed)).and_then(|n| Some((n, lines.get(n)?)))
        {
            let one = |whose, from| throughput(ends(whose, *merges), from, *line) as f64 / 1000.0;
            let (ours, large) = ([one(Whose::Ours, 0), one(Whose::Ours, 1)], one(Whose::OursLarge, 0));
            let theirs = [one(Whose::Smoltcp, 0), one(Whose::Smoltcp, 1)];
            rows.lock().unwrap()[n] = format!(
                "{name} | {:8.2} {:8.2} {large:8.2} | {:8.2} {:8.2}\n",
                ours[0], ours[1], theirs[0], theirs[1]
            );
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    rows.into_inner().unwrap()
}

#[test]
fn table() {
    let mut text = String::from(
        "One connection over 100 Mbit/s in virtual time, 8 MiB or a minute, Mbit/s: of the side that connects sending,\n\
         and of the other one. A queue of 128 KiB; 2 % arrive late or twice where it says so. Large: sends of many segments.\n\
         Merging: a queue of 512 KiB, and our devices bring what comes in a millisecond at once, segments in order as one.\n\n\
         \x20loss  delay            | ours out       in    large | smoltcp out  in\n",
    );
    text.extend(rows());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/throughput.txt");
    if std::env::var_os("FATA_UPDATE").is_some() {
        return std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept != text {
        let changed = kept.lines().zip(text.lines()).filter(|(was, is)| was != is);
        let list: String = changed.map(|(was, is)| format!("- {was}\n+ {is}\n")).collect();
        panic!("not what {} says (FATA_UPDATE=1 writes it anew):\n{list}", path.display());
    }
}

/// Another implementation at the other end, in each role and each direction: what it does not know is done without.
#[test]
fn two_implementations_understand_each_other() {
    for loss in [0, 10_000] {
        let line = Line { delay: Duration::from_millis(5), loss: Loss::Random(loss), ..Line::default() };
        for from in 0..2 {
            let config = ours::config(BUFFER);
            let first = Box::new(Ours::connect(0, config.clone(), Instant::default()));
            let here = throughput([first, Box::new(Smol::new(1, BUFFER))], from, line);
            let there =
                throughput([Box::new(Smol::new(0, BUFFER)), Box::new(Ours::listen(1, config))], from, line);
            println!("loss {loss}: {here} {there}");
            assert!(
                here > 1000 && there > 1000,
                "{here} and {there} kbit/s from end {from} with a loss of {loss}"
            );
        }
    }
}
