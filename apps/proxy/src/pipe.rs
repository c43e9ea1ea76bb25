//! Two streams that go on with another protocol, WebSocket say: what comes from one goes to the other, until one ends.

use crate::relay::PIECE;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{Read, Write};
use fata::http::{Aborted, BodyWriter, RequestContent};
use fata::time::{Duration, Instant, sleep_until};
use fata_http::client::Upgraded;

fn buffer() -> Result<Vec<u8>, Aborted> {
    let mut piece = Vec::new();
    piece.try_reserve_exact(PIECE / 4).map_err(|_| Aborted)?;
    piece.resize(PIECE / 4, 0);
    Ok(piece)
}

/// Runs until either side ends, or both are silent for `idle`.
pub async fn run<R: Read, W: Write>(
    mut client: RequestContent<'_>,
    to_client: &mut BodyWriter<'_>,
    server: Upgraded<R, W>,
    idle: Duration,
) -> Result<(), Aborted> {
    let Upgraded { mut reader, mut writer } = server;
    let (mut down, mut up) = (buffer()?, buffer()?);
    let last = Cell::new(Instant::now());
    let mut to_client = pin!(async {
        to_client.flush().await;
        loop {
            match reader.read(&mut down).await {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    last.set(Instant::now());
                    to_client.write(&down[..n]).await;
                    to_client.flush().await;
                }
                Err(_) => return Err(Aborted),
            }
        }
    });
    let mut to_server = pin!(async {
        loop {
            match client.read(&mut up).await {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    last.set(Instant::now());
                    writer.write_all(&up[..n]).await.map_err(|_| Aborted)?;
                    writer.flush().await.map_err(|_| Aborted)?;
                }
                Err(_) => return Err(Aborted),
            }
        }
    });
    let mut silent = pin!(async {
        while last.get().elapsed() < idle {
            sleep_until(last.get() + idle).await;
        }
    });
    // The writing way first: what it waits for is not to be forgotten for what the other waits for.
    poll_fn(|cx| {
        if let Poll::Ready(ended) = to_client.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        if let Poll::Ready(ended) = to_server.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        silent.as_mut().poll(cx).map(Ok)
    })
    .await
}
