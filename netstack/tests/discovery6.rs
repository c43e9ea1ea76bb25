//! What a host of IPv6 learns of its link: addresses, neighbours and routers.

mod common;

use common::ipv6::*;
use embedded_io_async::Write;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::Hub;
use fata_netstack::{Error, Ipv6Config, UdpSocket};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Who is asked where he was known to be may leave out where that is, as Linux does: he is there all the same.
#[test]
fn a_neighbour_that_answers_stays() {
    run(async {
        let (hub, b, _) = alone(Ipv6Config::fixed(B, 64, None)).await;
        let ask = question(B);
        hub.inject(&icmp(STRANGER, B, 255, &ask));
        let socket = UdpSocket::bind(&b, at(B, 9)).unwrap();
        let mut probes = 0;
        for _ in 0..400 {
            socket.send_to(b"x", at(STRANGER, 9)).await.unwrap();
            for (.., message) in sent(&hub).await.iter().filter(|(.., protocol, _)| *protocol == ICMPV6) {
                if message[0] == 135 {
                    probes += 1;
                    let mut answer = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
                    answer.extend(STRANGER.octets());
                    hub.inject(&icmp(STRANGER, B, 255, &answer));
                }
            }
            sleep(Duration::from_millis(980)).await;
        }
        assert!((5..9).contains(&probes), "{probes} in 400 s");
        assert_eq!((b.stats().arp_unanswered, b.stats().arp_dropped), (0, 0));
    });
}

/// After the link was down the address is asked for again: what was there goes on then, unless it is another's now.
#[test]
fn connections_outlive_the_link_but_not_the_address() {
    run(async {
        let (hub, _hosts, mut stream, mut there) = connected().await;
        let mut buf = [0; 9];
        for taken in [false, true] {
            hub.set_up(0, false);
            sleep(Duration::from_secs(1)).await;
            stream.write_all(b"x").await.unwrap();
            hub.set_up(0, true);
            hub.capture();
            sleep(Duration::from_millis(500)).await;
            let early = packets(&hub.captured());
            assert!(
                early.iter().all(|(source, _, protocol, _)| *source != A || *protocol == ICMPV6),
                "{early:?}"
            );
            if taken {
                let mut claim = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
                claim.extend(A.octets());
                claim.extend([2, 1, 2, 0, 0, 0, 0, 9]);
                hub.inject(&icmp(A, ALL_NODES, 255, &claim));
                assert_eq!(stream.read(&mut buf).await, Err(Error::ConnectionAborted));
            } else {
                let read = timeout(Duration::from_millis(1200), there.read(&mut buf)).await;
                assert_eq!(read.expect("it goes on at once"), Ok(1));
            }
        }
    });
}

/// Who is given an address and a router believes nobody else about either.
#[test]
fn what_is_given_is_not_learned() {
    run(async {
        let router = "2001:db8::fffe".parse().unwrap();
        let (hub, b, ib) = alone(Ipv6Config::fixed(B, 64, Some(router))).await;
        hub.inject(&advertisement(1800, 7200));
        sleep(Duration::from_secs(3)).await;
        let of_b = ib.addressing().unwrap();
        assert_eq!((of_b.gateway, of_b.dns.len(), addresses(&ib).len()), (Some(IpAddr::V6(router)), 0, 2));
        hub.captured();
        let socket = UdpSocket::bind(&b, at(B, 9)).unwrap();
        socket.send_to(b"x", "[2001:db8:1::7]:9".parse().unwrap()).await.unwrap();
        let asked: Vec<_> =
            sent(&hub).await.into_iter().map(|(.., message)| message[8..24].to_vec()).collect();
        assert_eq!(asked, [router.octets().to_vec()]);
    });
}

#[test]
fn addresses_routers_and_name_servers_come_from_a_router_and_go_with_their_time() {
    run(async {
        let (hub, b, ib) = alone(Ipv6Config::auto()).await;
        let local: Vec<IpAddr> = addresses(&ib).iter().map(|a| a.address).collect();
        assert_eq!(local, [IpAddr::V6(LOCAL_B)]);
        assert_eq!(ib.addressing(), None);
        hub.inject(&advertisement(1800, 7200));
        let addressing = ib.configured().await;
        let own: Ipv6Addr = "2001:db8:1::ff:fe00:2".parse().unwrap();
        assert_eq!((addressing.address, addressing.prefix_len), (IpAddr::V6(own), 64));
        assert_eq!(addressing.gateway, Some(IpAddr::V6(ROUTER)));
        assert_eq!(addressing.dns, ["2001:db8:1::53".parse::<IpAddr>().unwrap()]);
        // By the router, in packets as small as it says.
        let socket = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 5)).unwrap();
        let far: SocketAddr = "[2001:db8:9::1]:9".parse().unwrap();
        hub.captured();
        socket.send_to(&[7; 1400], far).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let frames = hub.captured();
        let mine =
            frames.iter().filter(|f| f[38..54] == "2001:db8:9::1".parse::<Ipv6Addr>().unwrap().octets());
        let sizes: Vec<_> = mine.map(|f| (f[..6].to_vec(), f.len() - 14)).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|(to, len)| *to == [2, 0, 0, 0, 0, 9] && *len <= 1400), "{sizes:?}");
        sleep(Duration::from_secs(1801)).await;
        assert_eq!(socket.send_to(b"x", far).await, Err(Error::NetworkUnreachable));
        assert!(ib.addressing().is_some());
        sleep(Duration::from_secs(5400)).await;
        assert_eq!((ib.addressing(), addresses(&ib).len()), (None, 1));
    });
}

#[test]
fn a_router_is_asked_for_until_one_answers() {
    run(async {
        let hub = Hub::default();
        hub.capture();
        let (_b, _) = host(&hub, 2, only(Ipv6Config::auto()));
        sleep(Duration::from_secs(40)).await;
        let count = |all: &[(Ipv6Addr, Ipv6Addr, u8, Vec<u8>)]| {
            all.iter().filter(|(.., protocol, message)| *protocol == ICMPV6 && message[0] == 133).count()
        };
        let all = sent(&hub).await;
        assert!((3..=6).contains(&count(&all)), "{}", count(&all));
        for (source, destination, protocol, message) in &all {
            if *protocol == ICMPV6 {
                assert_eq!(checksum(*source, *destination, ICMPV6, message), [0, 0]);
            }
        }
        // Its groups are told to routers of multicast: behind a header with a router alert.
        let reports = all.iter().filter(|(.., protocol, payload)| *protocol == 0 && payload[8] == 143);
        assert!(reports.count() >= 2);
        hub.inject(&advertisement(1800, 7200));
        sleep(Duration::from_secs(5)).await;
        sent(&hub).await;
        sleep(Duration::from_secs(4000)).await;
        assert_eq!(count(&sent(&hub).await), 0);
    });
}

#[test]
fn an_address_that_another_has_is_not_used() {
    run(async {
        let hub = Hub::default();
        let (_a, _) = host(&hub, 1, only(Ipv6Config::fixed(A, 64, None)));
        sleep(Duration::from_secs(3)).await;
        let (_b, ib) = host(&hub, 2, only(Ipv6Config::fixed(A, 64, None)));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(ib.addressing(), None);
        assert_eq!(addresses(&ib).len(), 1, "the link-local one");
    });
}

/// Who says that it has an address of ours is answered once, however often it says so.
#[test]
fn an_address_is_defended() {
    run(async {
        let (hub, b, ib) = alone(Ipv6Config::fixed(B, 64, None)).await;
        // As one does who has it: from it.
        let mut claim = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        claim.extend(B.octets());
        claim.extend([2, 1, 2, 0, 0, 0, 0, 9]);
        for _ in 0..1000 {
            hub.inject(&icmp(B, ALL_NODES, 255, &claim));
        }
        let all = sent(&hub).await;
        let (source, destination, _, message) = &all[0];
        assert_eq!((all.len(), *source, *destination), (1, B, ALL_NODES));
        assert_eq!(
            (&message[..5], &message[8..24]),
            (&[136, 0, message[2], message[3], 0x20][..], &B.octets()[..])
        );
        assert_eq!(b.stats().arp_conflicts, 1000);
        assert_eq!(ib.addressing().map(|a| a.address), Some(IpAddr::V6(B)));
    });
}

#[test]
fn neighbours_are_answered_and_remembered() {
    run(async {
        let (hub, _b, _) = alone(Ipv6Config::fixed(B, 64, None)).await;
        let group = Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0002);
        let mut ask = question(B);
        hub.inject(&icmp(STRANGER, group, 255, &ask));
        let all = sent(&hub).await;
        let (source, destination, _, message) = &all[0];
        assert_eq!((all.len(), *source, *destination, message[0], message[4]), (1, B, STRANGER, 136, 0x60));
        assert_eq!((&message[8..24], &message[24..]), (&B.octets()[..], &[2, 1, 2, 0, 0, 0, 0, 2][..]));
        // From beyond the link, for somebody else, with a wrong sum: no answer.
        hub.inject(&icmp(STRANGER, group, 254, &ask));
        let mut wrong = icmp(STRANGER, group, 255, &ask);
        *wrong.last_mut().unwrap() ^= 1;
        hub.inject(&wrong);
        ask[8..24].copy_from_slice(&A.octets());
        hub.inject(&icmp(STRANGER, group, 255, &ask));
        assert_eq!(sent(&hub).await, []);
        // The stranger is known by his question: the answer to his echo goes to him at once.
        hub.inject(&icmp(STRANGER, B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        let all = sent(&hub).await;
        let reply = all.iter().find(|(.., message)| message[0] == 129).expect("a reply");
        assert_eq!((reply.0, reply.1, &reply.3[4..]), (B, STRANGER, &[1, 2, 3, 4, 5][..]));
        assert_eq!(checksum(B, STRANGER, ICMPV6, &reply.3), [0, 0]);
    });
}
