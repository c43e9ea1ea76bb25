//! Two streams that go on with another protocol, WebSocket say: what comes from one goes to the other, until the server ends.

use crate::buffer;
use crate::silence::Silence;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{Read, Write};
use fata::http::{Aborted, BodyWriter, RequestContent};
use fata::time::Duration;
use fata_http::client::Upgraded;

/// What is copied at once, octets: most messages are small, and such connections many.
const PIECE: usize = 4 << 10;
/// How long a server may be silent whose client has ended.
const LEAVING: Duration = Duration::from_secs(10);

/// The buffers of both ways.
pub struct Buffers {
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Buffers {
    /// If there is memory.
    pub fn new() -> Option<Self> {
        Some(Self { up: buffer::piece(PIECE)?, down: buffer::piece(PIECE)? })
    }
}

/// Runs until the server ends, or both are silent for `idle`. A client that ends is told to the server, whose last words still go to it.
pub async fn run<R: Read, W: Write>(
    mut client: RequestContent<'_>,
    to_client: &mut BodyWriter<'_>,
    server: Upgraded<R, W>,
    idle: Duration,
    buffers: Buffers,
) -> Result<(), Aborted> {
    let Upgraded { mut reader, mut writer } = server;
    let Buffers { mut up, mut down } = buffers;
    let silence = Silence::new(idle);
    let mut to_client = pin!(async {
        to_client.flush().await;
        loop {
            match reader.read(&mut down).await {
                Ok(0) => return Ok(()),
                // A client that takes it slowly is not silent; one that takes nothing has a limit of its own (`Response::upgrade`).
                Ok(n) => silence.excused(pass(to_client, &down[..n])).await,
                Err(_) => return Err(Aborted),
            }
        }
    });
    let mut to_server = pin!(async {
        loop {
            match client.read(&mut up).await {
                Ok(0) => break,
                Ok(n) => {
                    silence.broken();
                    write(&mut writer, &up[..n], &silence).await?;
                }
                Err(_) => return Err(Aborted),
            }
        }
        // Dropping it ends that way of the stream.
        drop(writer);
        silence.shorten(LEAVING);
        Ok(())
    });
    let mut too_long = pin!(silence.too_long());
    let mut client_has_ended = false;
    // The writing way first: what it waits for is not to be forgotten for what the other waits for.
    poll_fn(|cx| {
        if let Poll::Ready(ended) = to_client.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        if !client_has_ended && let Poll::Ready(ended) = to_server.as_mut().poll(cx) {
            match ended {
                Ok(()) => client_has_ended = true,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        too_long.as_mut().poll(cx).map(Ok)
    })
    .await
}

async fn pass(to_client: &mut BodyWriter<'_>, octets: &[u8]) {
    to_client.write(octets).await;
    to_client.flush().await;
}

/// Whatever the server takes breaks the silence.
async fn write<W: Write>(writer: &mut W, mut octets: &[u8], silence: &Silence) -> Result<(), Aborted> {
    while !octets.is_empty() {
        match writer.write(octets).await {
            Ok(n) if n > 0 => octets = octets.get(n..).unwrap_or_default(),
            _ => return Err(Aborted),
        }
        silence.broken();
    }
    writer.flush().await.map_err(|_| Aborted)
}
