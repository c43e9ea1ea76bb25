//! The table of connections.

mod common;

use common::{A, B, at, pair};
use embedded_io_async::{Read, Write};
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::Faults;
use fata_netstack::{ConnectionInfo, Stack, TcpListener, TcpStream};

fn rows(stack: &Stack, most: usize) -> (Vec<ConnectionInfo>, usize) {
    let mut rows = Vec::new();
    let all = stack.connections(most, &mut |row| rows.push(row.clone()));
    (rows, all)
}

#[test]
fn rows_say_what_is_so() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        assert_eq!(rows(&b, 10), (Vec::new(), 0));
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, peer) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        sleep(Duration::from_secs(3)).await;
        let (of_b, all) = rows(&b, 10);
        let row = &of_b[0];
        assert_eq!((row.local, row.remote, row.state, all), (at(B, 80), peer, "ESTABLISHED", 1));
        assert_eq!((row.send_queue, row.receive_queue, row.retransmits), (0, 5, 0));
        let idle = row.idle.unwrap();
        assert!((2900..3100).contains(&idle.as_millis()), "{idle:?}");
        server.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!(rows(&b, 10).0[0].receive_queue, 0);

        // What is lost is sent again, and shown.
        hub.set_faults(Faults { lose: 10_000, ..Faults::default() });
        server.write_all(&[7; 3000]).await.unwrap();
        sleep(Duration::from_secs(4)).await;
        let row = rows(&b, 10).0[0].clone();
        assert!(row.send_queue == 3000 && row.retransmits > 0, "{row:?}");
        hub.set_faults(Faults::default());
        sleep(Duration::from_secs(4)).await;
        assert_eq!(rows(&b, 10).0[0].send_queue, 0);

        drop(server);
        sleep(Duration::from_millis(10)).await;
        client.read_exact(&mut [0; 3000]).await.unwrap();
        drop(client);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(rows(&b, 10).0.iter().map(|row| row.state).collect::<Vec<_>>(), ["TIME-WAIT"]);
        assert_eq!(rows(&a, 10), (Vec::new(), 0));
    });
}

#[test]
fn many_are_counted_and_the_first_shown() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut kept = Vec::new();
        for n in 0..40 {
            let client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            // Each second one ends: the server's end waits.
            if n % 2 == 0 {
                drop(server);
                sleep(Duration::from_millis(1)).await;
                drop(client);
                sleep(Duration::from_millis(1)).await;
            } else {
                kept.push((client, server));
            }
        }
        sleep(Duration::from_secs(1)).await;
        let (shown, all) = rows(&b, 30);
        assert_eq!((shown.len(), all), (30, 40));
        let states: Vec<_> = shown.iter().map(|row| row.state).collect();
        assert!(states[..20].iter().all(|state| *state == "ESTABLISHED"), "{states:?}");
        assert!(states[20..].iter().all(|state| *state == "TIME-WAIT"), "{states:?}");
        assert!(shown.iter().all(|row| row.remote.ip() == A && row.local == at(B, 80)));
        assert_eq!(rows(&b, 0).1, 40);
    });
}
