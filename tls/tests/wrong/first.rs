//! First messages of a client that are wrong, by the table that a guest is shown too.

use super::common::*;
use super::counting::kept_each_time;
use super::serves;
use super::table::{Row, Then, rows};
use embedded_io_async::{Read, Write};
use fata_tls::provider::Tickets;
use fata_tls::{Error, ServerConfig, TlsAcceptor};
use std::sync::Arc;

/// It has both versions.
fn server() -> TlsAcceptor {
    let config: ServerConfig = server_config().alpn(&["http/1.1"]).tickets(Arc::new(Tickets::default()));
    TlsAcceptor::new(config).unwrap()
}

/// What a server says to a client that then ends.
async fn said(server: &TlsAcceptor, row: &Row) -> (Error, Vec<u8>) {
    let (a, mut b) = duplex(200_000);
    let mut stream = server.accept(a).unwrap();
    b.write_all(&row.octets).await.unwrap();
    b.finish();
    let error = stream.read(&mut [0]).await.unwrap_err();
    drop(stream);
    let (said, _) = read_to_end(&mut b, 1000).await;
    (error, said)
}

#[test]
fn first_messages_that_are_wrong_get_the_right_alert() {
    run(async {
        let (server, client, rows) = (server(), connector(), rows());
        let (mut wrong, mut refused) = (Vec::new(), 0);
        serves(&server, &client).await;
        for row in &rows {
            let (error, said) = said(&server, row).await;
            if let Err(what) = row.judge(&said) {
                wrong.push(format!("{what} ({error})"));
            }
            let goes_on = row.then == Then::GoesOn;
            assert_eq!(error == Error::Truncated, goes_on, "{}: {error}", row.name);
            refused += u64::from(!goes_on);
            assert_eq!(server.stats().alerts_sent(), refused, "{}: {error}", row.name);
            serves(&server, &client).await;
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        assert_eq!(server.stats().handshakes_failed(), rows.len() as u64);
        for row in &rows {
            let (kept, most) = kept_each_time(async || said(&server, row).await).await;
            assert_eq!(kept, 0, "{}: octets that were not given back of {most}", row.name);
        }
    });
}
