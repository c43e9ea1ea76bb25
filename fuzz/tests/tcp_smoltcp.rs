//! Our TCP and smoltcp's at the two ends of a network that does what it can to them, in both roles: what only another
//! implementation takes otherwise comes out here. Every octet that arrives is right, and both ends come to an end.

#[path = "../../netstack/tests/sim/ours.rs"]
mod ours;
#[path = "../../netstack/tests/sim/mod.rs"]
mod sim;
#[path = "../../netstack/tests/sim/smol.rs"]
mod smol;

use fata_fuzz::fuzz;
use fata_libos::time::{Duration, Instant};
use fata_netstack::testing::tcp::{Config, Seq};
use ours::Ours;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sim::{App, Endpoint, Line, Link, Network, Pace, Stop};
use smol::Smol;

/// By then two ends are done with some hundred kilobytes, whatever the line.
const PATIENCE: Duration = Duration::from_secs(12 * 3600);

/// A whole conversation.
#[derive(Clone, Debug)]
struct Scene {
    seed: u64,
    /// The end that is ours: number 0 connects.
    ours: usize,
    iss: u32,
    /// Receive and send buffers of ours, and of smoltcp's.
    buffers: (usize, usize, usize),
    mtu: u16,
    large: usize,
    nodelay: bool,
    stripped: Vec<u8>,
    totals: [u64; 2],
    paces: [Pace; 2],
    closes_last: Option<usize>,
    lines: [u64; 2],
    /// Outages: when, and how long, in milliseconds.
    outages: Vec<(u16, u16)>,
}

fn pace() -> impl Strategy<Value = Pace> {
    let pieces = (select(&[10_u64, 500, 5000, 50_000][..]), 1..500_u32)
        .prop_map(|(most, pause)| Pace::Pieces { most, pause: Duration::from_millis(1) * pause });
    prop_oneof![2 => Just(Pace::Bulk), 1 => pieces]
}

fn scene() -> impl Strategy<Value = Scene> {
    let ends = (0..2_usize, prop_oneof![Just(0xffff_ff00), any::<u32>()], any::<bool>());
    let buffer = || prop_oneof![512..70_000_usize, 70_000..400_000_usize];
    // More than 64 KiB are one less than a power of two: see `Smol::new`.
    let theirs = prop_oneof![2000..65_000_usize, Just((1 << 17) - 1), Just((1 << 18) - 1)];
    let sizes = ((buffer(), buffer(), theirs), 576..=1500_u16, select(&[0, 9000, 65_000][..]));
    let stripped = vec(select(&[3_u8, 4, 8, 2][..]), 0..3);
    let total = || prop_oneof![1 => Just(0), 3 => 1..3000_u64, 3 => 1..200_000_u64];
    let apps = ([total(), total()], [pace(), pace()], prop::option::of(0..2_usize));
    let network = (any::<u64>(), any::<[u64; 2]>(), vec((0..20_000_u16, 1..5000_u16), 0..4));
    (ends, sizes, stripped, apps, network).prop_map(|(ends, sizes, stripped, apps, network)| {
        let (mut totals, paces, closes_last) = apps;
        for pace in paces {
            if let Pace::Pieces { most, .. } = pace {
                totals.iter_mut().for_each(|total| *total = (*total).min(most * 300));
            }
        }
        // What its owner has not read when TIME-WAIT is over, smoltcp forgets.
        let mut paces = paces;
        paces[1 - ends.0] = Pace::Bulk;
        // And an octet with which it probes a closed window it never sends again: who reads slowly has room for all.
        if let Pace::Pieces { .. } = paces[ends.0] {
            totals[1 - ends.0] = totals[1 - ends.0].min(sizes.0.0.min(60_000) as u64 / 2);
        }
        let mut outages = network.2;
        outages.sort_unstable();
        Scene {
            seed: network.0,
            ours: ends.0,
            iss: ends.1,
            buffers: sizes.0,
            mtu: sizes.1,
            large: sizes.2,
            nodelay: ends.2,
            stripped,
            totals,
            paces,
            closes_last,
            lines: network.1,
            outages,
        }
    })
}

/// A line for smoltcp, which has no ECN.
fn line(seed: u64) -> Line {
    Line { mtu: 1500, mark: None, ..Line::drawn(seed) }
}

fn start(scene: &Scene) -> Network<dyn Endpoint> {
    let (receive, send, theirs) = scene.buffers;
    let (iss, mtu, timestamp_offset) = (Seq(scene.iss), scene.mtu, scene.seed as u32);
    let mut ours = Ours::listen(
        scene.ours,
        Config { iss, receive, shift: None, send, mtu, timestamp_offset, ecn: false },
    );
    ours.large = scene.large;
    ours.nodelay = scene.nodelay;
    ours.stripped = scene.stripped.clone();
    if scene.ours == 0 {
        ours.begin(Instant::default());
    }
    let smol = Box::new(Smol::new(1 - scene.ours, theirs));
    let mut ends: [Box<dyn Endpoint>; 2] = [Box::new(ours), smol];
    if scene.ours == 1 {
        ends.reverse();
    }
    let app = |n: usize| {
        let (total, expected) = (scene.totals[n], scene.totals[1 - n]);
        let mut app = App::new(n as u8, total, expected, scene.paces[n], scene.seed + n as u64);
        app.closes_last = scene.closes_last == Some(n);
        app
    };
    let link = |n: usize| Link::new(line(scene.lines[n]), scene.seed ^ n as u64);
    Network::new(ends, [app(0), app(1)], [link(0), link(1)])
}

#[test]
fn two_implementations() {
    fuzz(&scene(), |scene| {
        let mut network = start(&scene);
        let mut outages = scene.outages.iter().peekable();
        let stop = network.run(PATIENCE, |network| {
            let ms = |time: u16| Duration::from_millis(time.into());
            while let Some((_, time)) = outages.next_if(|(at, _)| Instant::default() + ms(*at) <= network.now)
            {
                let until = network.now + ms(*time);
                network.links.iter_mut().for_each(|link| link.cut_until(until));
            }
            false
        });
        let stop = stop.unwrap_or_else(|wrong| panic!("{wrong}"));
        // smoltcp stays in TIME-WAIT for ten seconds alone: where its last acknowledgement is lost, what asks for it again may
        // come after that, and is answered with a reset. All octets have arrived even so.
        let (ours, theirs) = (scene.ours, 1 - scene.ours);
        if stop == Stop::Cut(ours) {
            // Who reads slowly has not read all yet.
            network.linger(PATIENCE).unwrap_or_else(|wrong| panic!("{wrong}"));
        }
        let is_whole = (0..2).all(|n| network.apps[n].got == scene.totals[1 - n]);
        let is_lossy = network.links[theirs].counts.lost > 0;
        if stop == Stop::Cut(ours) && is_whole && is_lossy && network.ends[theirs].is_over() {
            return;
        }
        assert_eq!(stop, Stop::Over, "{}", network.told("did not come to its end"));
    });
}
