//! The driver against a device of the host, well-behaved and otherwise.

use super::header::{LEN_MAX, NEEDS_CSUM, TCPV4, TCPV6};
use super::pair::{BUFFER, BUFFERS};
use super::*;
use crate::fake::{FakeDevice, FakeHal, Given};
use core::task::Waker;
use fata_libos::net::Checksum;
use proptest::prelude::*;
use virtio_drivers::transport::DeviceType;

type Net = VirtioNet<FakeHal, FakeDevice>;

const ALL: Features = Features::all();
const RECEIVE: usize = 0;
const SEND: usize = 1;
const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

fn config(status: u16, mtu: u16) -> Vec<u8> {
    [&MAC[..], &status.to_le_bytes(), &1_u16.to_le_bytes(), &mtu.to_le_bytes()].concat()
}

fn open_with(device: &FakeDevice) -> core::result::Result<Net, VirtioError> {
    Net::new(device.clone(), Box::leak(Box::new(WakerSet::new())), || {})
}

fn open(features: Features) -> (Net, FakeDevice) {
    let device = FakeDevice::new(DeviceType::Network, features.bits(), &config(LINK_UP, 1500));
    (open_with(&device).unwrap(), device)
}

fn is_ready(net: &mut Net) -> bool {
    net.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// A header that says of how many buffers a frame is.
fn header(flags: u8, buffers: u16) -> Vec<u8> {
    let mut header = vec![0; LEN_MAX];
    header[0] = flags;
    header[10..].copy_from_slice(&buffers.to_le_bytes());
    header
}

fn receive(net: &mut Net) -> Option<(Vec<u8>, Checksum)> {
    let mut buf = vec![0; 70_000];
    let received = net.receive(&mut buf)?;
    buf.truncate(received.len);
    Some((buf, received.checksum))
}

fn send(net: &mut Net, frame: &[u8], meta: TransmitMeta) -> core::result::Result<(), TransmitError> {
    net.transmit(frame.len(), meta, &mut |buf| buf.copy_from_slice(frame))
}

/// A TCP segment over IPv4 or IPv6, with so much payload.
fn segment(version: u8, payload: usize) -> Vec<u8> {
    let ip_len = if version == 4 { 20 } else { 40 };
    let mut frame = vec![0; ETHERNET_HEADER + ip_len + 20 + payload];
    let ip = ETHERNET_HEADER;
    frame[ip] = version << 4 | if version == 4 { 5 } else { 0 };
    frame[ip + if version == 4 { 9 } else { 6 }] = 6;
    frame[ip + ip_len + 12] = 5 << 4;
    let payload_at = ip + ip_len + 20;
    frame[payload_at..].iter_mut().enumerate().for_each(|(n, octet)| *octet = n as u8);
    frame
}

#[test]
fn asks_for_what_stands_on_something() {
    let wanted = |offered: Features| Features::wanted(offered.bits() | 1 << 60);
    assert_eq!(wanted(ALL), ALL);
    assert_eq!(
        wanted(ALL - Features::CSUM),
        ALL - Features::CSUM - Features::HOST_TSO4 - Features::HOST_TSO6
    );
    for missing in [Features::GUEST_CSUM, Features::MRG_RXBUF] {
        assert_eq!(wanted(ALL - missing), ALL - missing - Features::GUEST_TSO4 - Features::GUEST_TSO6);
    }
    let (net, device) = open(ALL);
    assert_eq!(device.0.borrow().accepted, ALL.bits());
    assert_eq!(net.mac(), MacAddress(MAC));
    let offloads = net.offloads();
    assert!(offloads.tx_checksum_v4 && offloads.tx_checksum_v6 && offloads.tx_segmentation_v6 > 65_000);
}

#[test]
fn what_a_device_says_of_itself_is_bounded() {
    for (told, mtu) in [(0, 576), (576, 576), (1400, 1400), (9000, 9000), (u16::MAX, 9000)] {
        let device = FakeDevice::new(DeviceType::Network, ALL.bits(), &config(LINK_UP, told));
        assert_eq!(open_with(&device).unwrap().mtu(), mtu);
    }
    // Frames that cannot be spread over buffers are of one.
    let one =
        FakeDevice::new(DeviceType::Network, (Features::MTU | Features::MAC).bits(), &config(LINK_UP, 9000));
    assert!(open_with(&one).unwrap().mtu() + ETHERNET_HEADER + LEN_MAX <= BUFFER);
    // A configuration that ends too early, features refused, queues that are too short.
    let short = FakeDevice::new(DeviceType::Network, ALL.bits(), &MAC);
    assert!(matches!(open_with(&short), Err(VirtioError::Device)));
    let refusing = FakeDevice::new(DeviceType::Network, ALL.bits(), &config(LINK_UP, 1500));
    refusing.0.borrow_mut().refuses = true;
    assert!(matches!(open_with(&refusing), Err(VirtioError::Device)));
    let narrow = FakeDevice::new(DeviceType::Network, ALL.bits(), &config(LINK_UP, 1500));
    narrow.0.borrow_mut().queue_max = 64;
    assert!(matches!(open_with(&narrow), Err(VirtioError::Device)));
}

#[test]
fn an_address_is_made_where_there_is_none() {
    fata_libos::testing::run(async {
        let mut several = config(LINK_UP, 1500);
        several[..6].copy_from_slice(&[0xff; 6]);
        for (features, config) in [(ALL - Features::MAC, config(LINK_UP, 1500)), (ALL, several)] {
            let device = FakeDevice::new(DeviceType::Network, features.bits(), &config);
            let mac = open_with(&device).unwrap().mac().0;
            assert_eq!(mac[0] & 3, 2, "{mac:x?} is not of one station, given locally");
            assert_ne!(mac, MAC);
        }
    });
}

#[test]
fn frames_come_in() {
    let (mut net, device) = open(ALL);
    assert!(!is_ready(&mut net));
    assert!(receive(&mut net).is_none());
    for (flags, checksum) in
        [(0, Checksum::Complete), (NEEDS_CSUM, Checksum::Partial), (header::DATA_VALID, Checksum::Verified)]
    {
        let frame = segment(4, 100);
        assert!(device.answer(RECEIVE, &[header(flags, 1), frame.clone()].concat()));
        assert!(is_ready(&mut net));
        assert_eq!(receive(&mut net), Some((frame, checksum)));
    }
    // Many times around the ring; each buffer comes back.
    for n in 0..5 * BUFFERS {
        let frame = vec![n as u8; 60];
        assert!(device.answer(RECEIVE, &[header(0, 1), frame.clone()].concat()), "no buffer for {n}");
        assert_eq!(receive(&mut net).unwrap().0, frame);
    }
    assert_eq!(net.counters().rx_frames, 3 + 5 * BUFFERS as u64);
}

/// A large frame, as a device puts it together of segments: spread over as many buffers as it takes.
fn answer_large(device: &FakeDevice, frame: &[u8]) -> u16 {
    let mut data = [header(NEEDS_CSUM, 0), frame.to_vec()].concat();
    let buffers = data.len().div_ceil(BUFFER) as u16;
    data[10..12].copy_from_slice(&buffers.to_le_bytes());
    for part in data.chunks(BUFFER) {
        assert!(device.answer(RECEIVE, part));
    }
    buffers
}

#[test]
fn large_frames_come_in_whole() {
    let (mut net, device) = open(ALL);
    for payload in [1, BUFFER - 66, BUFFER, 40_000, 65_495] {
        let frame = segment(4, payload);
        answer_large(&device, &frame);
        assert_eq!(receive(&mut net), Some((frame, Checksum::Partial)), "{payload}");
    }
    // One that does not fit is dropped whole, and the next is not touched by it.
    answer_large(&device, &segment(4, 9000));
    answer_large(&device, &segment(4, 60));
    let mut buf = [0; 1514];
    assert_eq!(net.receive(&mut buf), Some(Received::new(segment(4, 60).len(), Checksum::Partial)));
    assert_eq!(net.counters().rx_errors, 1);
}

#[test]
fn octets_are_taken_from_any_place_of_a_frame() {
    let (mut net, device) = open(ALL);
    for (payload, at, len) in [(1, 0, 55), (40_000, 0, 94), (40_000, 1990, 5000), (65_495, 60_000, 5549)] {
        let frame = segment(4, payload);
        answer_large(&device, &frame);
        let (mut read, mut behind, mut buf) = (vec![0; len], vec![9], vec![0; 70_000]);
        let arrived = net.receive_into(&mut buf, &mut |received, octets| {
            assert_eq!(received, Received::new(frame.len(), Checksum::Partial));
            octets.read(at, &mut read);
            octets.append(at, len, &mut behind);
            true
        });
        assert_eq!(arrived, Some(Arrived::Taken));
        assert!(read == frame[at..at + len] && behind[1..] == read[..], "{payload}");
        assert!(buf.iter().all(|octet| *octet == 0));
    }
    assert_eq!(net.counters().rx_frames, 4);
    // All buffers are the device's again each time: some hundred frames of 33.
    for n in 0..100 {
        let frame = segment(4, 65_400 + n % 90);
        answer_large(&device, &frame);
        let arrived = net.receive_into(&mut [0; 70_000], &mut |_, _| n % 3 > 0);
        assert_eq!(matches!(arrived, Some(Arrived::Taken)), n % 3 > 0);
        assert!(arrived.is_some(), "frame {n}");
    }
}

#[test]
fn frames_go_out() {
    let (mut net, device) = open(ALL);
    let plain = segment(4, 100);
    send(&mut net, &plain, TransmitMeta::default()).unwrap();
    send(&mut net, &plain, TransmitMeta::new(Checksum::Partial)).unwrap();
    send(&mut net, &segment(6, 10), TransmitMeta::new(Checksum::Partial)).unwrap();
    device.0.borrow_mut().notified.clear();
    net.flush();
    net.flush();
    assert_eq!(device.0.borrow().notified, [SEND as u16], "one notification for a burst");
    let sent: Vec<Given> = std::iter::from_fn(|| device.next(SEND)).collect();
    let [first, second, third] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(first.read(), [vec![0; LEN_MAX], plain].concat());
    assert_eq!(second.read()[..LEN_MAX], [NEEDS_CSUM, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    assert_eq!(third.read()[..LEN_MAX], [NEEDS_CSUM, 0, 0, 0, 0, 0, 54, 0, 16, 0, 0, 0]);
}

#[test]
fn large_frames_go_out_whole_to_be_cut_up() {
    let (mut net, device) = open(ALL);
    for (version, kind, headers) in [(4, TCPV4, 54_u8), (6, TCPV6, 74)] {
        let frame = segment(version, 60_000);
        send(&mut net, &frame, TransmitMeta::segmented(1448)).unwrap();
        let sent = device.next(SEND).unwrap().read();
        let [low, high] = 1448_u16.to_le_bytes();
        let start = headers - 20;
        assert_eq!(sent[..LEN_MAX], [NEEDS_CSUM, kind, headers, 0, low, high, start, 0, 16, 0, 0, 0]);
        assert_eq!(sent[LEN_MAX..], frame);
    }
    // Not what the device cannot.
    let too_long = |result| matches!(result, Err(TransmitError::TooLong { .. }));
    assert!(too_long(send(&mut net, &segment(4, 1600), TransmitMeta::default())));
    assert!(too_long(send(&mut net, &segment(4, 65_500), TransmitMeta::segmented(1448))));
    assert!(too_long(send(&mut net, &segment(4, 6000), TransmitMeta::segmented(5000))));
    let (mut net, _device) = open(ALL - Features::HOST_TSO4 - Features::HOST_TSO6);
    assert_eq!(net.offloads().tx_segmentation_v4, 0);
    assert!(too_long(send(&mut net, &segment(4, 6000), TransmitMeta::segmented(1448))));
}

#[test]
fn a_full_queue_says_so_and_says_when_it_is_not() {
    let (mut net, device) = open(ALL);
    let mut sent = 0;
    while net.can_transmit() {
        send(&mut net, &segment(4, 100), TransmitMeta::default()).unwrap();
        sent += 1;
    }
    assert_eq!(sent, BUFFERS);
    assert_eq!(send(&mut net, &segment(4, 1), TransmitMeta::default()), Err(TransmitError::Full));
    assert!(!is_ready(&mut net));
    // Returned in another order; a large frame waits for room in a row.
    let mut given: Vec<Given> = std::iter::from_fn(|| device.next(SEND)).collect();
    given.sort_by_key(|given| given.id % 2);
    for given in &given {
        device.give_back(SEND, given.id.into(), 0);
        if given.id == 0 {
            assert!(is_ready(&mut net));
            let large = send(&mut net, &segment(4, 60_000), TransmitMeta::segmented(1448));
            assert_eq!(large, Err(TransmitError::Full));
        }
    }
    assert!(is_ready(&mut net));
    assert_eq!(send(&mut net, &segment(4, 60_000), TransmitMeta::segmented(1448)), Ok(()));
}

#[test]
fn the_link_goes_down_and_up() {
    let (mut net, device) = open(ALL);
    assert!(net.is_up());
    for up in [false, true] {
        device.0.borrow_mut().config[STATUS_AT] = up.into();
        assert!(!is_ready(&mut net), "it has not been told yet");
        device.0.borrow_mut().interrupt = 2;
        assert!(is_ready(&mut net));
        assert_eq!(net.is_up(), up);
        assert!(!is_ready(&mut net));
        let sent = send(&mut net, &segment(4, 1), TransmitMeta::default());
        assert_eq!(sent, if up { Ok(()) } else { Err(TransmitError::Down) });
    }
}

/// What no device may do, each by itself.
#[test]
fn a_device_that_lies_is_given_up() {
    type Lie = fn(&FakeDevice, Given, Given);
    let lies: &[(&str, Lie)] = &[
        ("a buffer beyond the queue", |d, _, _| d.give_back(RECEIVE, 60_000, 60)),
        ("beyond it by 2^16", |d, given, _| d.give_back(RECEIVE, u32::from(given.id) | 0x8000, 60)),
        ("more octets than there is room for", |d, given, _| {
            d.give_back(RECEIVE, given.id.into(), BUFFER as u32 + 1);
        }),
        ("no end of octets", |d, given, _| d.give_back(RECEIVE, given.id.into(), u32::MAX)),
        ("less than a header", |d, given, _| d.give_back(RECEIVE, given.id.into(), 11)),
        ("the count runs ahead", |d, _, _| d.claim(RECEIVE, 1000)),
        ("the count runs back", |d, _, _| d.claim(RECEIVE, u16::MAX)),
        ("a frame of no buffers", |d, given, _| {
            given.write(&header(0, 0));
            d.give_back(RECEIVE, given.id.into(), 100);
        }),
        ("a frame of buffers that are not there", |d, given, _| {
            given.write(&header(0, 3));
            d.give_back(RECEIVE, given.id.into(), 100);
        }),
        ("a frame of more buffers than there are", |d, given, _| {
            given.write(&header(0, u16::MAX));
            d.give_back(RECEIVE, given.id.into(), 100);
        }),
        ("sent what it was not given", |d, _, sent| d.give_back(SEND, u32::from(sent.id) + 1, 0)),
        ("sent twice", |d, _, sent| {
            d.give_back(SEND, sent.id.into(), 0);
            d.give_back(SEND, sent.id.into(), 0);
        }),
    ];
    for (name, lie) in lies {
        let (mut net, device) = open(ALL);
        send(&mut net, &segment(4, 1), TransmitMeta::default()).unwrap();
        lie(&device, device.next(RECEIVE).unwrap(), device.next(SEND).unwrap());
        let told = is_ready(&mut net) && !net.is_up();
        while receive(&mut net).is_some() {}
        assert!(!net.is_up(), "{name}");
        assert!(told || is_ready(&mut net), "{name}: nobody is told");
        assert!(!is_ready(&mut net), "{name}: told again");
        assert_eq!(net.counters().faults, 1, "{name}");
        assert_eq!(device.0.borrow().status, DeviceStatus::empty(), "{name}: not stopped");
        assert_eq!(send(&mut net, &segment(4, 1), TransmitMeta::default()), Err(TransmitError::Down));
        net.flush();
    }
}

proptest! {
    /// Whatever a device does, the guest gets frames that were written, or the device is given up.
    #[test]
    fn whatever_a_device_does(steps in proptest::collection::vec((0_u8..6, any::<u16>(), any::<u32>()), 1..200)) {
        let (mut net, device) = open(ALL);
        let mut had: Vec<Given> = Vec::new();
        for (step, small, large) in steps {
            let queue = usize::from(small & 1);
            match step {
                0 => had.extend(device.next(queue)),
                1 => if let Some(given) = had.pop() {
                    // What is read of rings that the device has broken itself may be no buffer.
                    if given.parts[0].2 && given.parts[0].1 as usize == BUFFER {
                        given.write(&header(large as u8, small % 4));
                    }
                    let written = if given.parts[0].2 { large % (BUFFER as u32 + 2) } else { 0 };
                    device.give_back(usize::from(!given.parts[0].2), given.id.into(), written);
                },
                2 if small % 16 == 0 => device.give_back(queue, large, small.into()),
                3 if small % 32 == 0 => device.claim(queue, large as u16),
                4 => _ = send(&mut net, &segment(4, usize::from(small % 1400)), TransmitMeta::segmented(700)),
                _ => {
                    let _ = is_ready(&mut net);
                    while let Some((frame, _)) = receive(&mut net) {
                        prop_assert!(!frame.is_empty() && frame.len() <= BUFFERS * BUFFER);
                    }
                    net.flush();
                }
            }
        }
        prop_assert_eq!(net.counters().faults > 0, !net.is_up());
    }
}
