//! What the machine makes of a path over many round trips, in virtual time: pacing, the end of slow start (RFC 9406), the
//! growth after a loss (RFC 9438), marks instead of losses (RFC 3168), and the largest packets (RFC 4821).

#[path = "sim/ours.rs"]
mod ours;
mod sim;

use fata_libos::time::{Duration, Instant};
use fata_netstack::testing::tcp::Info;
use ours::Ours;
use sim::{App, Line, Link, Network, Pace, Stop};

const MS: Duration = Duration::from_millis(1);
/// More than any of these paths holds.
const BUFFER: usize = (8 << 20) - 1;

/// End 0 sends for as long as it may; acknowledgements come back over a line of the same delay.
fn bulk(line: Line, ecn: bool) -> Network<Ours> {
    let config = ours::Config { ecn, ..ours::config(BUFFER) };
    let ends = [Ours::connect(0, config.clone(), Instant::default()), Ours::listen(1, config)].map(Box::new);
    let apps = [App::new(0, u64::MAX, 0, Pace::Bulk, 0), App::new(1, 0, u64::MAX, Pace::Bulk, 1)];
    let mut network = Network::new(
        ends,
        apps,
        [Link::new(line, 1), Link::new(Line { delay: line.delay, ..Line::default() }, 2)],
    );
    network.apps[1].closes_last = true;
    network
}

/// Runs until `end`, looking at the sender at each event.
fn until(network: &mut Network<Ours>, end: Duration, mut look: impl FnMut(Instant, Info, &mut [Link; 2])) {
    let stop = network.run(end, |network| {
        if let Some(info) = network.ends[0].info() {
            look(network.now, info, &mut network.links);
        }
        false
    });
    assert_eq!(stop, Ok(Stop::Late));
}

#[test]
fn what_is_sent_is_spread_over_the_round_trip() {
    let line = Line { rate: 1_000_000_000, delay: 50 * MS, queue: 4 << 20, ..Line::default() };
    let mut network = bulk(line, false);
    network.seen = Some(vec![]);
    until(&mut network, 900 * MS, |_, _, _| {});
    let seen = network.seen.take().unwrap_or_default();
    let times: Vec<Instant> = seen.iter().filter(|(_, from, _)| *from == 0).map(|(at, ..)| *at).collect();
    assert!(times.len() > 1000, "{} packets", times.len());
    // Seven doublings: hundreds of packets in the last round trip, which come to eight in a millisecond at twice the pace.
    let most = (0..times.len())
        .map(|first| times[first..].iter().take_while(|at| at.duration_since(times[first]) < MS).count())
        .max();
    let in_last = times.iter().filter(|at| at.as_nanos() > 800_000_000).count();
    assert!(most.is_some_and(|most| most <= 12 + in_last / 40), "{most:?} of {in_last}");
}

#[test]
fn slow_start_ends_where_the_queue_begins() {
    // A queue of eight seconds at 4 Mbit/s, where the path holds 20 kB.
    let line = Line { rate: 4_000_000, delay: 20 * MS, queue: 4 << 20, ..Line::default() };
    let mut network = bulk(line, false);
    let mut threshold = u32::MAX;
    until(&mut network, Duration::from_secs(3), |_, info, _| threshold = info.threshold);
    assert!(threshold < 300_000, "{threshold}");
    assert_eq!(network.links[0].counts.full, 0);
}

#[test]
fn the_window_grows_again_as_a_cube_of_time() {
    let line = Line { rate: 1_000_000_000, delay: 50 * MS, queue: 8 << 20, ..Line::default() };
    let mut network = bulk(line, false);
    let (mut before, mut cut, mut lost_at, mut errors) = (0.0, false, None, vec![]);
    until(&mut network, Duration::from_secs(9), |now, info, links| {
        let window = f64::from(info.congestion_window) / f64::from(info.mss);
        if info.recoveries == 0 {
            before = window;
            if window >= 100.0 && !core::mem::replace(&mut cut, true) {
                // A few packets of one burst.
                links[0].cut_until(now + MS);
            }
            return;
        }
        let lost_at = *lost_at.get_or_insert(now);
        // The recovery takes a round trip; the clock of the growth starts with its end.
        let t = now.duration_since(lost_at).as_secs_f64() - 0.1;
        let k = (before * 0.3 / 0.4_f64).cbrt();
        let expected = 0.4 * (t - k).powi(3) + before;
        if t > 0.2 && (window - expected).abs() > 0.04 * expected {
            errors.push((t, window, expected));
        }
    });
    assert!(lost_at.is_some() && before > 150.0, "{before}");
    assert_eq!(network.ends[0].info().map(|info| info.recoveries), Some(1));
    assert!(errors.is_empty(), "from {before} on: {:?} to {:?}, {}", errors[0], errors.last(), errors.len());
}

/// Slow start fills a queue to its end: every second packet of hundreds is lost, and the receiver hears of the others in bursts.
/// What was lost is sent again, once, and nothing else.
#[test]
fn what_a_full_queue_drops_is_sent_again_and_nothing_else() {
    for large in [0, 65_000] {
        let line = Line { delay: 50 * MS, queue: 512 << 10, ..Line::default() };
        let mut network = bulk(line, false);
        network.ends[0].large = large;
        network.ends[1].merges = Some(MS);
        let mut last = Info::default();
        until(&mut network, Duration::from_secs(3), |_, info, _| last = info);
        let dropped = network.links[0].counts.full;
        assert!(dropped > 500, "{dropped}");
        assert!((dropped..=dropped + 2).contains(&u64::from(last.retransmits)), "{dropped}: {last:?}");
        assert!(last.timeouts == 0 && last.undone == 0 && !last.reordering, "{last:?}");
    }
}

#[test]
fn marks_keep_the_queue_short_without_a_loss() {
    let line =
        Line { rate: 20_000_000, delay: 10 * MS, queue: 1 << 20, mark: Some(50_000), ..Line::default() };
    let mut network = bulk(line, true);
    let mut last = Info::default();
    until(&mut network, Duration::from_secs(4), |_, info, _| last = info);
    let counts = network.links[0].counts;
    assert!(counts.marked > 0 && counts.full == 0 && last.retransmits == 0, "{counts:?} {last:?}");
    assert!(last.smoothed_rtt.is_some_and(|rtt| rtt < 70 * MS), "{last:?}");
    assert!(network.apps[1].got > 8_000_000, "{} octets", network.apps[1].got);
}

#[test]
fn the_largest_packets_that_get_through_are_found() {
    let line = Line { delay: 5 * MS, mtu: 1400, ..Line::default() };
    let mut network = bulk(line, false);
    let mut mss = 0;
    until(&mut network, Duration::from_secs(20), |_, info, _| mss = info.mss);
    // Without a word from a router: 1400 less the headers and the clocks, to within the grain of the search.
    assert!((1300..=1348).contains(&mss), "{mss}");
    assert!(network.apps[1].got > 50_000_000, "{} octets", network.apps[1].got);
}

/// A line that is down for ten seconds looks like one that drops large packets; a peer without SACK is no reason to send small
/// ones for ever after.
#[test]
fn after_an_outage_packets_are_large_again_also_without_sack() {
    for stripped in [vec![], vec![4], vec![4, 8]] {
        let line = Line { rate: 100_000_000, delay: 10 * MS, ..Line::default() };
        let mut network = bulk(line, false);
        network.ends.iter_mut().for_each(|end| end.stripped.clone_from(&stripped));
        let (mut least, mut last, mut cut) = (u32::MAX, 0, false);
        until(&mut network, Duration::from_secs(60), |now, info, links| {
            if now.as_nanos() > 2_000_000_000 && !core::mem::replace(&mut cut, true) {
                links.iter_mut().for_each(|link| link.cut_until(now + Duration::from_secs(10)));
            }
            (least, last) = (least.min(info.mss), info.mss);
        });
        let clocks = if stripped.contains(&8) { 0 } else { 12 };
        assert!(least <= 1260 - 40, "{stripped:?}: {least}");
        assert!(last > 1460 - clocks - 32, "{stripped:?}: {last}");
    }
}
