//! The host's own sockets behind `fata::net`: what an appliance sees is what netstack would show it.

use fata::io::{Read, ReadReady, Write};
use fata::net::{Buffers, Error, Network, Resolver, TcpListener, TcpStream, UdpSocket};
use fata::testing::{MAIN, free_port, run};
use fata::time::{Duration, sleep, timeout};
use fata::{Env, spawn};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

fn on_network<F: Future>(test: impl FnOnce(Network) -> F) -> F::Output {
    run("log=off", async |env: Env| test(env.network(MAIN).await.unwrap()).await)
}

/// A listener, and both ends of a connection.
async fn pair(network: &Network) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(network, any(free_port())).unwrap();
    let port = listener.local_addr().port();
    let stack = network.stack().clone();
    let connecting = spawn(async move { TcpStream::connect(&stack, local(port)).await });
    let (ours, peer) = listener.accept().await.unwrap();
    let theirs = connecting.await.unwrap();
    assert_eq!((peer, theirs.peer_addr()), (theirs.local_addr(), local(port)));
    assert_eq!(ours.local_addr(), local(port));
    (listener, ours, theirs)
}

#[test]
fn both_directions_and_the_end() {
    on_network(async |network| {
        let (_listener, mut ours, mut theirs) = pair(&network).await;
        theirs.write_all(b"hello").await.unwrap();
        let mut buf = [0; 16];
        assert_eq!(ours.read(&mut []).await, Ok(0), "nothing is asked for");
        assert_eq!(ours.read(&mut buf).await, Ok(5));
        assert!(!ours.read_ready().unwrap());
        theirs.shutdown().await.unwrap();
        assert_eq!(ours.read(&mut buf).await, Ok(0));
        assert!(ours.read_ready().unwrap());
        assert_eq!(theirs.write(b"more").await, Err(Error::BrokenPipe));
        ours.write_all(b"still").await.unwrap();
        assert_eq!(theirs.read(&mut buf).await, Ok(5), "reading goes on");
        drop(ours);
        assert_eq!(theirs.read(&mut buf).await, Ok(0));
    });
}

#[test]
fn what_is_read_and_written_in_place() {
    on_network(async |network| {
        let (_listener, mut ours, theirs) = pair(&network).await;
        let (mut read, mut write) = theirs.into_split();
        write
            .write_with(100, |room| {
                room[..6].copy_from_slice(b"abcdef");
                (6, ())
            })
            .await
            .unwrap();
        assert_eq!(ours.read_with(|shown| (2, shown.to_vec())).await.unwrap(), b"abcdef");
        assert_eq!(ours.read_with(|shown| (0, shown.to_vec())).await.unwrap(), b"cdef");
        assert_eq!(ours.read_with(|shown| (100, shown.to_vec())).await.unwrap(), b"cdef");
        let waits = timeout(Duration::from_millis(20), ours.read_with(|shown| (0, shown.len())));
        assert!(waits.await.is_err(), "nothing has come");
        // More than the host takes at once.
        let writing = spawn(async move {
            for _ in 0..100 {
                ours.write_with(1 << 20, |room| {
                    room.fill(9);
                    (room.len(), ())
                })
                .await
                .unwrap();
            }
            assert_eq!(ours.write_with(10, |_| (0, 7)).await, Ok(7));
            ours.shutdown().await.unwrap();
            assert_eq!(ours.write_with(1, |_| (1, ())).await, Err(Error::BrokenPipe));
        });
        let mut octets = 0;
        loop {
            let used = read.read_with(|shown| {
                assert!(shown.iter().all(|octet| *octet == 9));
                (shown.len().div_ceil(2), shown.len().div_ceil(2))
            });
            match used.await.unwrap() {
                0 => break,
                used => octets += used,
            }
        }
        assert_eq!(octets, 100 * (64 << 10));
        writing.await;
    });
}

#[test]
fn a_slow_reader_makes_the_writer_wait() {
    const OCTETS: usize = 32 << 20;
    on_network(async |network| {
        let (_listener, ours, mut theirs) = pair(&network).await;
        let (_, mut write) = ours.into_split();
        let writing = spawn(async move {
            let piece = vec![7; 100_000];
            let mut left = OCTETS;
            while left > 0 {
                left -= write.write(&piece[..left.min(piece.len())]).await.unwrap();
            }
        });
        sleep(Duration::from_millis(50)).await;
        assert!(!writing.is_finished(), "nobody has read");
        let (mut buf, mut octets) = (vec![0; 50_000], 0);
        loop {
            match theirs.read(&mut buf).await.unwrap() {
                0 => break,
                len => octets += len,
            }
        }
        assert_eq!(octets, OCTETS, "dropping the writing half is the end");
    });
}

#[test]
fn halves_work_side_by_side() {
    on_network(async |network| {
        let (_listener, mut ours, theirs) = pair(&network).await;
        let (mut their_read, mut their_write) = theirs.into_split();
        let echo = spawn(async move {
            let mut buf = [0; 1000];
            loop {
                match their_read.read(&mut buf).await.unwrap() {
                    0 => break,
                    len => their_write.write_all(&buf[..len]).await.unwrap(),
                }
            }
        });
        let (mut read, mut write) = ours.split();
        let sending = async {
            for n in 0..1000u32 {
                write.write_all(&n.to_le_bytes()).await.unwrap();
            }
            write.shutdown().await.unwrap();
        };
        let receiving = async {
            let mut buf = [0; 4];
            for n in 0..1000u32 {
                read.read_exact(&mut buf).await.unwrap();
                assert_eq!(u32::from_le_bytes(buf), n);
            }
            assert_eq!(read.read(&mut buf).await, Ok(0));
        };
        futures(sending, receiving).await;
        echo.await;
    });
}

/// Both, side by side in one task.
async fn futures(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut a_done, mut b_done) = (false, false);
    std::future::poll_fn(|cx| {
        a_done = a_done || a.as_mut().poll(cx).is_ready();
        b_done = b_done || b.as_mut().poll(cx).is_ready();
        if a_done && b_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn a_reset_is_told_again_and_again() {
    on_network(async |network| {
        let (_listener, mut ours, theirs) = pair(&network).await;
        let mut buf = [0; 16];
        theirs.abort();
        for _ in 0..3 {
            assert_eq!(ours.read(&mut buf).await, Err(Error::ConnectionReset));
            assert_eq!(ours.write(b"x").await, Err(Error::ConnectionReset));
        }
    });
}

#[test]
fn who_waits_on_a_stream_that_is_aborted_is_told() {
    on_network(async |network| {
        let (_listener, ours, _theirs) = pair(&network).await;
        let (mut read, _write) = ours.into_split();
        let reading = spawn(async move { read.read(&mut [0; 16]).await });
        sleep(Duration::from_millis(20)).await;
        drop(_theirs);
        assert_eq!(reading.await, Ok(0));

        let (_listener, mut ours, _theirs) = pair(&network).await;
        fata_libos::net::Abort::abort(&mut ours);
        assert_eq!(ours.read(&mut [0; 1]).await, Err(Error::ConnectionAborted));
        assert_eq!(ours.write(&[0; 1]).await, Err(Error::ConnectionAborted));
    });
}

#[test]
fn errors_are_those_of_netstack() {
    on_network(async |network| {
        let refused = TcpStream::connect(&network, local(free_port())).await;
        assert_eq!(refused.err(), Some(Error::ConnectionRefused));
        for senseless in [local(0), any(80), (Ipv4Addr::BROADCAST, 80).into(), ([224, 0, 0, 1], 80).into()] {
            let result = TcpStream::connect(&network, senseless).await;
            assert_eq!(result.err(), Some(Error::InvalidInput), "{senseless}");
        }
        assert_eq!(TcpListener::bind(&network, any(0)).err(), Some(Error::InvalidInput));
        let elsewhere = TcpListener::bind(&network, ([192, 0, 2, 1], free_port()).into());
        assert_eq!(elsewhere.err(), Some(Error::AddrNotAvailable));
        let first = TcpListener::bind(&network, any(free_port())).unwrap();
        assert_eq!(TcpListener::bind(&network, first.local_addr()).err(), Some(Error::AddrInUse));
        let socket = UdpSocket::bind(&network, any(0)).unwrap();
        assert_eq!(UdpSocket::bind(&network, socket.local_addr()).err(), Some(Error::AddrInUse));
        assert_eq!(socket.send(b"x").await, Err(Error::NotConnected));
        assert_eq!(socket.send_to(&[0; 65_508], local(9)).await, Err(Error::MessageTooLong));
        assert_eq!(socket.send_to(b"x", local(0)).await, Err(Error::InvalidInput));
    });
}

#[test]
fn datagrams() {
    on_network(async |network| {
        let server = UdpSocket::bind(&network, any(0)).unwrap();
        let client = UdpSocket::bind(&network, local(0)).unwrap();
        let to = local(server.local_addr().port());
        assert!(client.local_addr().port() > 0 && server.peer_addr().is_none());
        assert_eq!(client.send_to(b"question", to).await, Ok(8));
        let mut buf = [0; 4];
        let (len, from) = server.recv_from(&mut buf).await.unwrap();
        assert_eq!((len, &buf, from), (4, b"ques", client.local_addr()), "what does not fit is lost");
        client.connect(to).unwrap();
        server.send_to(b"", from).await.unwrap();
        assert_eq!(client.recv(&mut buf).await, Ok(0));

        let nobody = local(free_port());
        client.connect(nobody).unwrap();
        assert_eq!((client.peer_addr(), client.send(b"x").await), (Some(nobody), Ok(1)));
        assert_eq!(client.recv(&mut buf).await, Err(Error::ConnectionRefused));
        let nothing = timeout(Duration::from_millis(20), server.recv(&mut buf)).await;
        assert!(nothing.is_err());
    });
}

#[test]
fn many_datagrams_and_none_waits() {
    on_network(async |network| {
        let server = UdpSocket::bind(&network, local(0)).unwrap();
        let client = UdpSocket::bind(&network, local(0)).unwrap();
        let to = server.local_addr();
        assert_eq!(server.try_recv_from(&mut [0; 4]), Ok(None));
        assert_eq!(client.send_many((0..20).map(|n| (vec![n; usize::from(n)], to))).await, Ok(20));
        let mut seen = 0;
        while seen < 20 {
            let expected = |data: &[u8], _| {
                assert_eq!(data, vec![seen as u8; seen]);
                seen += 1;
            };
            assert!(server.recv_many(6, expected).await.unwrap() <= 6);
        }
        client.send_with(3, to, |buf| buf[1] = 7).await.unwrap();
        assert_eq!(
            server.recv_with(|data, from| (data.to_vec(), from)).await,
            Ok((vec![0, 7, 0], client.local_addr()))
        );
        assert_eq!(client.try_send_with(2, to, |buf| buf.fill(1)), Ok(Some(())));
        assert_eq!(client.try_send_to(b"end", to), Ok(Some(3)));
        // One that is shown may make the reader look for more.
        let nested =
            server.recv_with(|data, _| (data.to_vec(), server.try_recv_with(|data, _| data.to_vec()))).await;
        assert_eq!(nested, Ok((vec![1, 1], Ok(Some(b"end".to_vec())))));
        let error = client.send_many([(b"a", to), (b"b", local(0))]).await.unwrap_err();
        assert_eq!((error.sent, Error::from(error)), (1, Error::InvalidInput));
        assert_eq!(client.send_with(65_600, to, |_| panic!()).await, Err(Error::MessageTooLong));
    });
}

#[test]
fn a_full_queue_drops_and_counts() {
    on_network(async |network| {
        let server = UdpSocket::bind(&network, local(0)).unwrap();
        let client = UdpSocket::bind(&network, local(0)).unwrap();
        server.set_queue(4096);
        for _ in 0..100 {
            client.send_to(&[0; 1000], server.local_addr()).await.unwrap();
        }
        assert!(server.dropped() > 50, "{} of 100", server.dropped());
    });
}

#[test]
fn options() {
    on_network(async |network| {
        let (listener, ours, _theirs) = pair(&network).await;
        listener.set_backlog(1);
        listener.set_buffers(Buffers { receive: 8192, send: 8192 });
        assert!(!ours.nodelay());
        ours.set_nodelay(true);
        assert!(ours.nodelay());
        ours.set_keep_alive(Some(Duration::from_millis(1)));
        ours.set_keep_alive(None);
        let buffers = Buffers { receive: 4096, send: 4096 };
        let connecting = TcpStream::connect_with(&network, local(listener.local_addr().port()), buffers);
        assert!(connecting.await.is_ok());
    });
}

#[test]
fn one_listener_for_both_families() {
    on_network(async |network| {
        let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, free_port()).into()).unwrap();
        let port = listener.local_addr().port();
        let stack = network.stack().clone();
        let connecting = spawn(async move { TcpStream::connect(&stack, local(port)).await.unwrap() });
        let (stream, peer) = listener.accept().await.unwrap();
        assert!(peer.is_ipv4() && stream.local_addr() == local(port), "{peer} to {}", stream.local_addr());
        drop(connecting.await);
    });
}

#[test]
fn names() {
    on_network(async |network| {
        let resolver = Resolver::new(&network);
        let localhost: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert_eq!(resolver.resolve("localhost").await, Ok(vec![localhost]));
        assert_eq!(resolver.resolve("127.0.0.1").await, Ok(vec![localhost]));
        assert_eq!(resolver.resolve("a..b").await, Err(Error::InvalidInput));
        let unknown = resolver.resolve("name.invalid").await;
        assert!(matches!(unknown, Err(Error::NameNotFound | Error::ResolveFailed)), "{unknown:?}");
    });
}

#[test]
fn the_interface_is_the_hosts() {
    run("log=off", async |env: Env| {
        let network = env.network(MAIN).await.unwrap();
        let interface = network.interface();
        assert_eq!((interface.name(), interface.is_up()), ("main", true));
        assert!(!interface.configured().await.address.is_unspecified());
        assert_eq!(network.interfaces().len(), 1);
        env.network(MAIN).await.unwrap();
        assert_eq!(network.interfaces().len(), 1, "the same again");
        assert!(timeout(Duration::from_millis(5), interface.config_changed()).await.is_err());
    });
}

#[test]
fn thousands_of_connections_come_and_go() {
    on_network(async |network| {
        let listener = TcpListener::bind(&network, any(free_port())).unwrap();
        let port = listener.local_addr().port();
        let stack = network.stack().clone();
        let clients = spawn(async move {
            for _ in 0..20 {
                let tasks: Vec<_> = (0..100)
                    .map(|n| {
                        let stack = stack.clone();
                        spawn(async move {
                            let mut stream = TcpStream::connect(&stack, local(port)).await.unwrap();
                            let mut buf = [0; 8];
                            stream.write_all(&[n; 8]).await.unwrap();
                            stream.read_exact(&mut buf).await.unwrap();
                            assert_eq!(buf, [n; 8]);
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await;
                }
            }
        });
        for _ in 0..2000 {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn(async move {
                let mut buf = [0; 8];
                stream.read_exact(&mut buf).await.unwrap();
                stream.write_all(&buf).await.unwrap();
            })
            .detach();
        }
        clients.await;
    });
}
