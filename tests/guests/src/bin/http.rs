//! An HTTP server that the boot tests ask for what a folder of files has no use for: content both ways, made while it is
//! sent or read as it comes, and handlers that refuse.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::Ipv4Addr;
use fata::http::{
    Aborted, BodyError, BodyWriter, Limits, Precondition, Request, Response, Router, Server, Status,
    Validators,
};
use fata::net::TcpListener;
use fata::prelude::*;

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let patience = env.param(params::PATIENCE);
    let limits = Limits {
        body_size: 4 << 20,
        idle_time: patience,
        head_time: patience,
        body_time: patience,
        ..Limits::default()
    };
    let server = Server::with(router(), limits, Rc::default());
    let network = env.network(networks::MAIN).await?;
    let listener = TcpListener::bind(&network, (Ipv4Addr::UNSPECIFIED, 80).into())?;
    println!(env, "http: on port 80");
    server.serve(async move || listener.accept().await).await?;
    println!(env, "http: left in order after {} requests", server.stats().requests());
    Ok(())
}

fn router() -> Router {
    let note = Rc::new(RefCell::new(String::from("a note\n")));
    let kept = note.clone();
    Router::new()
        .post("/echo", echo)
        .put("/echo", echo)
        .post("/small", async |mut request: Request<'_>| request.read_to_end(1000).await.map(Response::text))
        .post("/count", count)
        .get("/numbers/{last}", async |request: Request<'_>| numbers(&request))
        .get("/half", async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                body.write(b"the first half\n").await;
                Err(Aborted)
            })
        })
        .get("/note", async move |_: Request<'_>| {
            let text = kept.borrow().clone();
            Response::text(text.clone()).etag(tag(&text))
        })
        .put("/note", async move |request: Request<'_>| change(&note, request).await)
}

/// Sends the content back.
async fn echo(mut request: Request<'_>) -> Result<Response, BodyError> {
    let content: Vec<u8> = request.read_to_end(4 << 20).await?;
    Ok(Response::text(content))
}

/// Reads the content piece by piece, and keeps none of it.
async fn count(mut request: Request<'_>) -> Result<Response, BodyError> {
    let (mut octets, mut buffer) = (0, [0; 2000]);
    loop {
        match request.read(&mut buffer).await? {
            0 => return Ok(Response::text(format!("{octets} octets\n"))),
            len => octets += len,
        }
    }
}

/// The numbers from 1 up, a line each, as `seq` prints them; how many they are comes behind them.
fn numbers(request: &Request<'_>) -> Result<Response, Status> {
    let last = request.param("last").and_then(|text| text.parse::<u32>().ok()).ok_or(Status::NOT_FOUND)?;
    Ok(Response::stream(async move |body: &mut BodyWriter<'_>| {
        for first in (1..=last).step_by(100) {
            let lines: String = (first..=last.min(first + 99)).map(|n| format!("{n}\n")).collect();
            body.write(lines.as_bytes()).await;
        }
        body.trailer("Lines", &format!("{last}"));
        Ok(())
    })
    .content_type("text/plain"))
}

/// Replaces the note, unless the client means another one than there is.
async fn change(note: &RefCell<String>, mut request: Request<'_>) -> Result<Status, BodyError> {
    let current = Validators { etag: Some(tag(&note.borrow()).into()), last_modified: None };
    if request.precondition(Some(&current)) != Precondition::Proceed {
        return Ok(Status::PRECONDITION_FAILED);
    }
    let content = request.read_to_end(1000).await?;
    Ok(match String::from_utf8(content) {
        Ok(text) => {
            note.replace(text);
            Status::NO_CONTENT
        }
        Err(_) => Status::UNPROCESSABLE_CONTENT,
    })
}

fn tag(text: &str) -> String {
    let sum = text.bytes().fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    format!("\"{sum:x}\"")
}
