//! TCP between two stacks over a network in memory.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Buffers, Error, Stack, TcpListener, TcpStream};

/// Buffers whose windows need no scaling, and some that do.
const DEFAULT: Buffers = Buffers { receive: 16 << 10, send: 16 << 10 };
const LARGE: Buffers = Buffers { receive: 256 << 10, send: 256 << 10 };

/// Sends back what comes, on every connection.
async fn serve_echo(stack: Stack, port: u16, buffers: Buffers) {
    let listener = TcpListener::bind(&stack, at(B, port)).unwrap();
    listener.set_buffers(buffers);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        spawn(echo(stream)).detach();
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buf = vec![0; 8192];
    loop {
        match stream.read(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if stream.write_all(&buf[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Sends `len` octets and checks what comes back.
async fn check_echo(stream: TcpStream, len: usize) {
    let (mut reader, mut writer) = stream.into_split();
    let send = spawn(async move {
        for start in (0..len).step_by(10_000) {
            writer.write_all(&pattern(start, 10_000.min(len - start))).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    });
    let mut got = 0;
    let mut buf = vec![0; 7000];
    loop {
        let n = reader.read(&mut buf).await.unwrap();
        if n == 0 {
            break;
        }
        assert_eq!(buf[..n], pattern(got, n), "at {got}");
        got += n;
    }
    send.await;
    assert_eq!(got, len);
}

fn echo_over(faults: Faults, seed: u64, offload: bool, buffers: Buffers, len: usize) -> Duration {
    run(async move {
        let hub = Hub::new(faults);
        hub.set_seed(seed);
        let (a, ia) = host(&hub, 1, A, offload);
        let (b, ib) = host(&hub, 2, B, offload);
        ia.configured().await;
        ib.configured().await;
        let server = spawn(serve_echo(b.clone(), 7, buffers));
        let start = Instant::now();
        let stream = TcpStream::connect_with(&a, at(B, 7), buffers).await.unwrap();
        assert_eq!(stream.peer_addr(), at(B, 7));
        check_echo(stream, len).await;
        let took = start.elapsed();
        sleep(Duration::from_secs(70)).await;
        drop(server);
        for stack in [&a, &b] {
            let stats = stack.stats();
            assert_eq!((stats.tcp_connections, stats.tcp_time_wait, stats.tcp_buffer_octets), (0, 0, 0));
        }
        took
    })
}

#[test]
fn ten_mebibytes_there_and_back() {
    echo_over(Faults::default(), 1, false, DEFAULT, 10 << 20);
    echo_over(Faults::default(), 1, true, LARGE, 10 << 20);
}

#[test]
fn a_bad_line_loses_nothing() {
    let delay = Duration::from_micros(200);
    let bad = Faults { lose: 100, double: 100, reorder: 100, corrupt: 50, delay };
    for seed in 1..=12 {
        echo_over(bad, seed, false, if seed % 2 == 0 { DEFAULT } else { LARGE }, 2 << 20);
        echo_over(Faults { lose: 1000, delay, ..Faults::default() }, seed, false, LARGE, 1 << 16);
    }
}

/// With too little memory for the window that was offered some of it is lost; of what is offered then, nothing. When there is
/// memory again, the window grows again.
#[test]
fn a_window_shrinks_to_the_memory_there_is() {
    run(async {
        let (_hub, a, b) = pair(Faults { delay: Duration::from_millis(1), ..Faults::default() }).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        b.set_memory_limit(9000);
        let sender = spawn(async move {
            for start in (0..2_000_000).step_by(10_000) {
                client.write_all(&pattern(start, 10_000)).await.unwrap();
            }
        });
        let (mut got, mut buf) = (0, vec![0; 100_000]);
        // Octets a second.
        let mut read_until = async |end: usize| {
            let (first, begun) = (got, Instant::now());
            while got < end {
                sleep(Duration::from_millis(5)).await;
                let most = buf.len().min(end - got);
                let n = server.read(&mut buf[..most]).await.unwrap();
                assert!(buf[..n] == pattern(got, n), "at {got}");
                got += n;
            }
            (got - first) as u128 * 1000 / Instant::now().duration_since(begun).as_millis()
        };
        read_until(200_000).await;
        let lost = b.stats().tcp_no_memory;
        assert!(lost > 0);
        let slow = read_until(600_000).await;
        assert_eq!(b.stats().tcp_no_memory, lost);
        b.set_memory_limit(64 << 20);
        let fast = read_until(2_000_000).await;
        assert!(slow > 400_000 && fast > 5 * slow, "{slow} and {fast} octets a second");
        assert_eq!(b.stats().tcp_no_memory, lost);
        sender.await;
    });
}

#[test]
fn nobody_listens() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let start = Instant::now();
        // A stack that never had a socket of TCP refuses by ICMP, as it has no TCP to reset with.
        assert_eq!(TcpStream::connect(&a, at(B, 9)).await.unwrap_err(), Error::ConnectionRefused);
        assert_eq!(b.stats().tcp_resets_sent, 0);
        drop(TcpListener::bind(&b, at(B, 7)).unwrap());
        assert_eq!(TcpStream::connect(&a, at(B, 9)).await.unwrap_err(), Error::ConnectionRefused);
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(b.stats().tcp_resets_sent, 1);
        assert_eq!(a.stats().tcp_connections, 0);
    });
}
