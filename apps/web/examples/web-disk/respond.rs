//! What is answered of a disk's files.

use super::media::content_type;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use fata::files::{Failed, Found, Opened, Store};
use fata::http::{Aborted, BodyWriter, HttpDate, Request, Response, Status, Validators, Wanted};
use web_site::path;

/// What is read and sent at once, octets; content of no more is read before the answer begins.
const PIECE: usize = 16 << 10;

/// Answers a GET.
pub async fn respond(store: &Store, request: &Request<'_>) -> Response {
    let answered = match path::clean(request.path()) {
        Some(path) if is_shown(&path) => answer(store, request, &path[1..]).await,
        _ => not_found(store).await,
    };
    answered.unwrap_or_else(|Failed| Response::error(Status::INTERNAL_SERVER_ERROR))
}

/// Whether a path is one that a site has: no empty parts but the last, none that begin with a dot.
fn is_shown(path: &str) -> bool {
    let hides = |part: &str| part.starts_with('.') && part != ".well-known";
    path.starts_with('/') && !path.contains("//") && !path.split('/').any(hides)
}

async fn answer(store: &Store, request: &Request<'_>, path: &str) -> Result<Response, Failed> {
    let is_folder = path.is_empty() || path.ends_with('/');
    let name = if is_folder { format!("{path}index.html") } else { String::from(path) };
    match store.find(&name).await? {
        Found::File(file) => send(file, &name, Some(request)).await,
        Found::Folder if !is_folder => Ok(redirect(request)),
        _ => not_found(store).await,
    }
}

/// To the same with a slash behind.
fn redirect(request: &Request<'_>) -> Response {
    let query = request.query().map_or(String::new(), |query| format!("?{query}"));
    Response::redirect(Status::MOVED_PERMANENTLY, &format!("{}/{query}", request.path()))
}

async fn not_found(store: &Store) -> Result<Response, Failed> {
    match store.find("404.html").await? {
        Found::File(file) => Ok(send(file, "404.html", None).await?.status(Status::NOT_FOUND)),
        _ => Ok(Response::error(Status::NOT_FOUND)),
    }
}

/// Sends a file to who has asked for it, or in place of what was asked for.
async fn send(file: Opened, name: &str, asked: Option<&Request<'_>>) -> Result<Response, Failed> {
    let seconds = file.modified.since_unix().as_secs();
    let tag = format!("\"{seconds:x}-{:x}\"", file.len);
    let date = HttpDate::from_unix_seconds(seconds);
    let response = match usize::try_from(file.len) {
        Ok(len) if len <= PIECE => Response::new(Status::OK).body(read(&file, 0, len).await?),
        _ => {
            let current = Validators { etag: Some(tag.clone().into()), last_modified: Some(date) };
            let len = file.len;
            match asked.map_or(Wanted::Whole, |request| request.wanted(&current, len)) {
                Wanted::Whole => stream(file, 0..len).header("Accept-Ranges", "bytes"),
                Wanted::Part(part) => {
                    let place = format!("bytes {}-{}/{len}", part.start, part.end - 1);
                    stream(file, part).status(Status::PARTIAL_CONTENT).header("Content-Range", &place)
                }
                Wanted::Nothing => {
                    let response = Response::error(Status::RANGE_NOT_SATISFIABLE);
                    return Ok(response.header("Content-Range", &format!("bytes */{len}")));
                }
            }
        }
    };
    let response = response.content_type(content_type(name));
    Ok(match asked {
        Some(_) => response.etag(tag).last_modified(date),
        None => response,
    })
}

/// Some of a file, read while it is sent.
fn stream(file: Opened, part: Range<u64>) -> Response {
    Response::sized_stream(part.end - part.start, async move |body: &mut BodyWriter<'_>| {
        let mut at = part.start;
        while at < part.end {
            let len = (part.end - at).min(PIECE as u64) as usize;
            let piece = read(&file, at, len).await.map_err(|Failed| Aborted)?;
            body.write(&piece).await;
            at += len as u64;
        }
        Ok(())
    })
}

async fn read(file: &Opened, offset: u64, len: usize) -> Result<Vec<u8>, Failed> {
    let mut octets = Vec::new();
    octets.try_reserve_exact(len).map_err(|_| Failed)?;
    octets.resize(len, 0);
    file.read_at(offset, &mut octets).await?;
    Ok(octets)
}
