//! Who answers what.

use crate::site::Site;
use crate::state::State;
use crate::{metrics, status};
use alloc::rc::Rc;
use fata::http::{BodyWriter, Request, Response, Router, Status};
#[cfg(all(feature = "disk", feature = "tls"))]
use sha2::{Digest, Sha256};

/// The appliance's routes: its own pages, and the site everywhere else.
pub fn router(site: &'static Site, state: Rc<State>) -> Router {
    let last_modified = state.last_modified(site.last_modified);
    pages(state).get_sync("/{*path}", move |request: &Request<'_>| site.respond(request, last_modified))
}

/// The appliance's own pages.
pub fn pages(state: Rc<State>) -> Router {
    let (for_metrics, for_json, for_capture) = (state.clone(), state.clone(), state.clone());
    Router::new()
        .get_sync("/status", move |_: &Request<'_>| fresh(Response::html(status::page(&state))))
        .get_sync("/status.css", |_: &Request<'_>| {
            kept("text/css; charset=utf-8", include_bytes!("status.css"))
        })
        .get_sync("/status.js", |_: &Request<'_>| kept("text/javascript", include_bytes!("status.js")))
        .get_sync("/status.json", move |_: &Request<'_>| {
            fresh(Response::new(Status::OK).body(status::json(&for_json)))
                .header("Content-Type", "application/json")
        })
        .get_sync("/metrics", move |_: &Request<'_>| {
            Response::new(Status::OK)
                .header("Content-Type", metrics::CONTENT_TYPE)
                .body(metrics::text(&for_metrics))
        })
        .get_sync("/capture.pcap", move |_: &Request<'_>| fresh(capture(&for_capture)))
}

/// The packets captured, as they are at the moment.
fn capture(state: &State) -> Response {
    let Some(capture) = state.capture() else {
        return Response::text("no capture: the boot parameter capture=SIZE starts one\n")
            .status(Status::NOT_FOUND);
    };
    let Some(snapshot) = capture.snapshot() else {
        return Response::text("no memory for a copy now\n").status(Status::SERVICE_UNAVAILABLE);
    };
    Response::sized_stream(snapshot.len() as u64, async move |body: &mut BodyWriter<'_>| {
        body.write(&snapshot).await;
        Ok(())
    })
    .header("Content-Type", "application/vnd.tcpdump.pcap")
}

/// What belongs to a page of ours: another image may have another.
fn kept(kind: &str, content: &'static [u8]) -> Response {
    Response::new(Status::OK).header("Content-Type", kind).header("Cache-Control", "no-cache").body(content)
}

/// Content that is another each time.
fn fresh(response: Response) -> Response {
    response.header("Cache-Control", "no-store")
}

/// Reads a request's content, and says how many octets it had; in images that have room for it, with `disk`, also what their SHA-256 is.
#[cfg(feature = "tls")]
pub async fn upload(mut request: Request<'_>) -> Result<Response, fata::http::BodyError> {
    let (mut piece, mut octets) = (alloc::vec![0; 8 << 10], 0);
    #[cfg(feature = "disk")]
    let mut digest = Sha256::new();
    loop {
        match request.read(&mut piece).await? {
            0 => break,
            n => {
                octets += n as u64;
                #[cfg(feature = "disk")]
                digest.update(&piece[..n]);
            }
        }
    }
    let mut text = alloc::format!("{octets}");
    #[cfg(feature = "disk")]
    {
        text.push(' ');
        for octet in digest.finalize() {
            let digits = [octet >> 4, octet & 15].map(|digit| char::from_digit(digit.into(), 16));
            text.extend(digits.into_iter().flatten());
        }
    }
    text.push('\n');
    Ok(Response::text(text))
}
