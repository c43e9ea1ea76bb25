//! Two machines of TCP over a network that does what it can to them: every octet that arrives is right, both ends come to an
//! end, neither sends for ever, and neither holds more memory than it may.

#[path = "../../netstack/tests/sim/ours.rs"]
mod ours;
#[path = "../../netstack/tests/sim/mod.rs"]
mod sim;

use fata_fuzz::fuzz;
use fata_libos::time::{Duration, Instant};
use fata_netstack::testing::tcp::{Config, Seq};
use ours::Ours;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sim::{App, Line, Link, Loss, Network, Pace, Stop};

const MS: Duration = Duration::from_millis(1);
/// By then two ends that nobody cuts are done with some hundred kilobytes, whatever the line.
const PATIENCE: Duration = Duration::from_secs(12 * 3600);

/// One end.
#[derive(Clone, Debug)]
struct End {
    config: (u32, usize, usize, u16, bool),
    large: usize,
    nodelay: bool,
    keep_alive: Option<u16>,
    total: u64,
    pace: Pace,
    closes_last: bool,
}

/// What happens to the line, and when.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Nothing gets through for so many milliseconds.
    Outage(u16),
    /// The MTU changes in one direction; a router says so or not.
    Mtu(usize, u16, bool),
    /// An end stops reading for so many milliseconds.
    Stall(usize, u16),
    /// A packet of before comes again.
    Replay(u16),
    /// A forged segment: a packet of before with a bit turned over.
    Forge(u16, u16),
    /// An end is aborted.
    Abort(usize),
    /// The line becomes another one.
    Line(usize, u8),
}

/// A whole conversation.
#[derive(Clone, Debug)]
struct Scene {
    seed: u64,
    ends: [End; 2],
    lines: [u64; 2],
    /// Options that a middlebox takes out of SYNs: their kinds.
    stripped: Vec<u8>,
    events: Vec<(u16, Event)>,
}

fn end() -> impl Strategy<Value = End> {
    let iss = prop_oneof![Just(0xffff_fff0), Just(0x7fff_fff0), any::<u32>()];
    let buffer = prop_oneof![3 => 1024..70_000_usize, 1 => 512..2000_usize, 1 => 70_000..400_000_usize];
    let mtu = prop_oneof![3 => Just(1500_u16), 1 => 576..9000_u16];
    let config = (iss, buffer.clone(), buffer, mtu, any::<bool>());
    let total = prop_oneof![1 => Just(0), 3 => 1..3000_u64, 3 => 1..200_000_u64];
    let pieces = (select(&[1, 10, 500, 5000, 50_000][..]), 0..2000_u64)
        .prop_map(|(most, pause)| Pace::Pieces { most, pause: MS * pause as u32 });
    let pace = prop_oneof![3 => Just(Pace::Bulk), 1 => pieces];
    let keep_alive = prop::option::weighted(0.2, 1..200_u16);
    let large = select(&[0, 0, 9000, 65_000][..]);
    (config, large, any::<bool>(), keep_alive, total, pace, any::<bool>()).prop_map(
        |(config, large, nodelay, keep_alive, total, pace, closes_last)| End {
            config,
            large,
            nodelay,
            keep_alive,
            total,
            pace,
            closes_last,
        },
    )
}

fn piece(pace: Pace) -> Option<u64> {
    match pace {
        Pace::Bulk => None,
        Pace::Pieces { most, .. } => Some(most),
    }
}

fn event(aborts: bool) -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (1..30_000_u16).prop_map(Event::Outage),
        2 => (0..2_usize, 600..1500_u16, any::<bool>()).prop_map(|(n, mtu, said)| Event::Mtu(n, mtu, said)),
        2 => (0..2_usize, 1..60_000_u16).prop_map(|(n, ms)| Event::Stall(n, ms)),
        3 => any::<u16>().prop_map(Event::Replay),
        if aborts { 3 } else { 0 } => any::<(u16, u16)>().prop_map(|(packet, bit)| Event::Forge(packet, bit)),
        if aborts { 1 } else { 0 } => (0..2_usize).prop_map(Event::Abort),
        2 => (0..2_usize, any::<u8>()).prop_map(|(n, seed)| Event::Line(n, seed)),
    ]
}

fn scene(aborts: bool) -> impl Strategy<Value = Scene> {
    let stripped = vec(select(&[3_u8, 4, 8, 2][..]), 0..3);
    let events = vec((0..20_000_u16, event(aborts)), 0..8);
    (any::<u64>(), [end(), end()], any::<[u64; 2]>(), stripped, events).prop_map(
        |(seed, mut ends, lines, stripped, mut events)| {
            events.sort_by_key(|(at, _)| *at);
            // An octet at a time, each with a pause, is for short streams.
            for most in [ends[0].pace, ends[1].pace].into_iter().filter_map(piece) {
                ends.iter_mut().for_each(|end| end.total = end.total.min(most * 300));
            }
            Scene { seed, ends, lines, stripped, events }
        },
    )
}

fn start(scene: &Scene) -> Network<Ours> {
    let at = Instant::default();
    let make = |n: usize| {
        let (iss, receive, send, mtu, ecn) = scene.ends[n].config;
        let timestamp_offset = scene.seed as u32;
        let config = Config { iss: Seq(iss), receive, shift: None, send, mtu, timestamp_offset, ecn };
        let mut end = Ours::listen(n, config);
        end.large = scene.ends[n].large;
        end.stripped = scene.stripped.clone();
        end.nodelay = scene.ends[n].nodelay;
        end.keep_alive = scene.ends[n].keep_alive.map(|seconds| Duration::from_secs(seconds.into()));
        if n == 0 {
            end.begin(at);
        }
        Box::new(end)
    };
    let app = |n: usize| {
        let (here, there) = (&scene.ends[n], &scene.ends[1 - n]);
        let mut app = App::new(n as u8, here.total, there.total, here.pace, scene.seed + n as u64);
        // Both waiting for each other would be for ever.
        app.closes_last = here.closes_last && (n == 0 || !there.closes_last);
        app.checks = !scene.events.iter().any(|(_, event)| matches!(event, Event::Forge(..)));
        app
    };
    let link = |n: usize| Link::new(Line::drawn(scene.lines[n]), scene.seed ^ n as u64);
    let mut network = Network::new([make(0), make(1)], [app(0), app(1)], [link(0), link(1)]);
    network.seen = Some(vec![]);
    network
}

fn apply(network: &mut Network<Ours>, event: Event) {
    let now = network.now;
    match event {
        Event::Outage(ms) => network.links.iter_mut().for_each(|link| link.cut_until(now + MS * ms.into())),
        Event::Mtu(n, mtu, said) => {
            let line = network.links[n].line();
            network.links[n].set_line(Line { mtu: mtu.into(), ..line });
            network.links[n].says_mtu = said;
        }
        Event::Stall(n, ms) => network.apps[n].stall_until(now + MS * ms.into()),
        Event::Replay(which) => again(network, which, None),
        Event::Forge(which, bit) => again(network, which, Some(bit)),
        Event::Abort(n) => network.ends[n].abort(),
        Event::Line(n, seed) => {
            let mtu = network.links[n].line().mtu;
            network.links[n].set_line(Line { mtu, ..Line::drawn(seed.into()) });
        }
    }
}

/// A packet of before again, perhaps with one bit of its TCP header turned over.
fn again(network: &mut Network<Ours>, which: u16, bit: Option<u16>) {
    let seen = network.seen.as_ref().unwrap();
    if seen.is_empty() {
        return;
    }
    let (_, from, mut packet) = seen[usize::from(which) % seen.len()].clone();
    if let Some(bit) = bit {
        let header = usize::from(packet[32] >> 4) * 4;
        let bit = usize::from(bit) % (8 * header);
        packet[20 + bit / 8] ^= 1 << (bit % 8);
    }
    let now = network.now;
    network.links[from].inject(now, packet);
}

fn check(scene: &Scene, network: &mut Network<Ours>) -> Result<(), String> {
    let most = scene.ends.iter().map(|end| end.config.1 + end.config.2).max().unwrap_or(0);
    let used =
        network.ends.iter().filter_map(|end| end.machine.as_ref()).map(|machine| machine.memory()).max();
    // Rings are powers of two, and there is a queue of what was sent.
    let limit = 4 * most + (64 << 10);
    if used.unwrap_or(0) > limit {
        return Err(network.told(&format!("{used:?} octets of memory, expected {limit}")));
    }
    Ok(())
}

fn converse(scene: &Scene, is_cut: bool) {
    let mut network = start(scene);
    let mut events = scene.events.iter().peekable();
    let mut broken = None;
    // Who is lied to may wait for ever.
    let patience = if is_cut { PATIENCE / 12 } else { PATIENCE };
    let stop = network.run(patience, |network| {
        while let Some((_, event)) =
            events.next_if(|(at, _)| Instant::default() + MS * (*at).into() <= network.now)
        {
            apply(network, *event);
        }
        broken = check(scene, network).err();
        broken.is_some()
    });
    assert!(broken.is_none(), "{}", broken.unwrap_or_default());
    match stop.unwrap_or_else(|wrong| panic!("{wrong}")) {
        Stop::Over => {}
        _ if is_cut => {}
        stop => panic!("{}", network.told(&format!("{stop:?}"))),
    }
    let octets: u64 = scene.ends.iter().map(|end| end.total).sum();
    let seconds = network.now.duration_since(Instant::default()).as_secs();
    let sent = packets(&network);
    let most = 5000 + 30 * octets + 10 * seconds;
    assert!(sent < most, "{}", network.told(&format!("{sent} packets for {octets} octets in {seconds} s")));
    // TIME-WAIT, and what is left on the line: hardly anything more is sent.
    network.linger(Duration::from_secs(3600)).unwrap_or_else(|wrong| panic!("{wrong}"));
    let more = packets(&network) - sent;
    let most = if is_cut { 40_000 } else { 10_000 };
    assert!(more < most, "{}", network.told(&format!("{more} packets after the end")));
}

fn packets(network: &Network<Ours>) -> u64 {
    network.seen.as_ref().map_or(0, Vec::len) as u64
}

#[test]
fn machines() {
    fuzz(&scene(false), |scene| converse(&scene, false));
}

#[test]
fn machines_and_forgers() {
    fuzz(&scene(true), |scene| converse(&scene, true));
}

/// How long it may take to send so much over a good line: twice what the line and the buffers need, and some round
/// trips for the handshake, slow start and the end.
fn enough(scene: &Scene, from: usize, lines: [Line; 2]) -> Duration {
    let (here, there) = (&scene.ends[from], &scene.ends[1 - from]);
    let time = |octets: u64, n: usize| Duration::from_nanos(octets * 8 * 1_000_000_000 / lines[n].rate);
    // Two segments there, two acknowledgements back.
    let round = lines[0].delay + lines[1].delay + time(3000, from) + time(200, 1 - from);
    let window =
        here.config.2.min(there.config.1).min(if scene.stripped.contains(&3) { 65_535 } else { usize::MAX });
    let rounds = here.total / window as u64 + 40;
    time(2 * here.total, from) + round * 2 * rounds as u32 + 100 * MS
}

/// On a line that does nothing wrong nobody waits for a timer: not for a delayed acknowledgement, not for a window.
#[test]
fn machines_on_good_lines() {
    fuzz(&scene(false), |mut scene| {
        scene.events.clear();
        // One way: acknowledgements would wait behind what goes the other.
        scene.ends[scene.seed as usize % 2].total = 0;
        for end in &mut scene.ends {
            end.pace = Pace::Bulk;
            // Who sends a segment at a time waits for each acknowledgement, and that may wait for a second segment.
            end.config.2 = end.config.2.max(4 * usize::from(end.config.3));
        }
        let lines = scene.lines.map(|seed| {
            let line = Line::drawn(seed);
            Line { loss: Loss::Random(0), reorder: 0, double: 0, queue: 1 << 20, mark: None, ..line }
        });
        let mut network = start(&scene);
        network.links.iter_mut().zip(lines).for_each(|(link, line)| link.set_line(line));
        let stop = network.run(PATIENCE, |_| false).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(stop, Stop::Over, "{}", network.told(""));
        for from in 0..2 {
            let took =
                network.apps[1 - from].complete_at.unwrap_or_default().duration_since(Instant::default());
            let enough = enough(&scene, from, lines);
            assert!(
                took < enough,
                "{}",
                network.told(&format!("took {took:?}, expected {enough:?}: {lines:?}"))
            );
        }
    });
}
