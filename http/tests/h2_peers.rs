//! HTTP/2 with clients that others have made: curl, nghttp, h2load, over loopback.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_http::{BodyWriter, HttpDate, Limits, Request, Response, Router, Server, Stats};
use fata_libos::net::Abort;
use fata_libos::task::block_on;
use fata_unix::UnixPlatform;
use fata_unix::socket::{TcpListener, TcpStream};
use std::future::poll_fn;
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc;

struct Tcp(TcpStream);

impl ErrorType for Tcp {
    type Error = ErrorKind;
}

impl Read for Tcp {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.poll_read(cx, buf)).await.map_err(|_| ErrorKind::Other)
    }
}

impl Write for Tcp {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.poll_write(cx, buf)).await.map_err(|_| ErrorKind::Other)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Abort for Tcp {
    fn abort(&mut self) {
        self.0.abort();
    }
}

fn router() -> Router {
    Router::new()
        .get_sync("/", |_: &Request<'_>| Response::html("<h1>hello</h1>"))
        .get("/big", async |_: Request<'_>| Response::text(vec![b'x'; 5_000_000]).etag("\"big\""))
        .get("/stream", async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                for n in 0..1000 {
                    body.write(format!("{n}\n").as_bytes()).await;
                }
                body.trailer("x-lines", "1000");
                Ok(())
            })
            .last_modified(HttpDate::from_unix_seconds(1_000_000_000))
        })
        .post("/count", async |mut request: Request<'_>| {
            let (mut all, mut piece) = (0, [0; 3000]);
            loop {
                match request.read(&mut piece).await? {
                    0 => break Ok::<_, fata_http::BodyError>(Response::text(all.to_string())),
                    n => all += n,
                }
            }
        })
}

/// A server on a port of its own, for as long as the test runs.
fn serve() -> String {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let platform = UnixPlatform::new().unwrap();
        block_on(platform, async {
            let listener = TcpListener::bind(platform.reactor(), "127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(listener.local_addr().port()).unwrap();
            let limits = Limits { body_size: 100 << 20, ..Limits::default() };
            let server = Server::with(router(), limits, Rc::<Stats>::default()).with_http2();
            let accept = async || {
                poll_fn(|cx| listener.poll_accept(cx)).await.map(|(stream, peer)| (Tcp(stream), peer))
            };
            server.serve(accept).await.unwrap();
        });
    });
    format!("http://127.0.0.1:{}", told.recv().unwrap())
}

/// What a tool says.
fn tool(name: &str, arguments: &[&str]) -> String {
    let output = match Command::new(name).args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!("{name}: {error}: is its package (curl, nghttp2-client) installed?"),
    };
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn curl(arguments: &[&str]) -> String {
    let always = ["--silent", "--show-error", "--max-time", "20", "--http2-prior-knowledge"];
    tool("curl", &[&always, arguments].concat())
}

#[test]
fn curl_reads_pages() {
    let url = serve();
    let page = curl(&["--include", &format!("{url}/")]);
    assert!(page.starts_with("HTTP/2 200") && page.ends_with("<h1>hello</h1>"), "{page}");
    assert!(
        page.contains("\ncontent-type: text/html; charset=utf-8\r\n") && page.contains("\ndate: "),
        "{page}"
    );
    assert_eq!(curl(&[&format!("{url}/big")]).len(), 5_000_000);
    let streamed = curl(&["--include", &format!("{url}/stream")]);
    assert!(streamed.contains("\n999\n") && streamed.contains("x-lines: 1000"), "{}", &streamed[..400]);
    let status = |arguments: &[&str]| {
        curl(
            &[&["--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"], arguments].concat(),
        )
    };
    for (arguments, said) in [
        (&["--head", "/big"][..], "200 0"),
        (&["/nowhere"], "404 10"),
        (&["--range", "10-19", "/big"], "206 10"),
        (&["--header", "If-None-Match: \"big\"", "/big"], "304 0"),
        (&["--request", "DELETE", "/"], "405 19"),
        (&["--request", "BREW", "/"], "501 16"),
        (&["--header", &format!("x-long: {}", "x".repeat(9000)), "/"], "431 32"),
    ] {
        let (path, options) = arguments.split_last().unwrap();
        assert_eq!(status(&[options, &[&*format!("{url}{path}")]].concat()), said, "{arguments:?}");
    }
    let http_1 = tool("curl", &["--silent", "--include", &format!("{url}/")]);
    assert!(http_1.starts_with("HTTP/1.1 200 OK"), "both on one port: {http_1}");
}

#[test]
fn curl_sends_content() {
    let url = serve();
    let file = std::env::temp_dir().join(format!("fata-h2-{}", std::process::id()));
    std::fs::write(&file, vec![7; 5_000_000]).unwrap();
    let data = format!("@{}", file.display());
    let count = format!("{url}/count");
    assert_eq!(curl(&["--data-binary", &data, &count]), "5000000");
    // Nobody reads it.
    std::fs::write(&file, vec![7; 40_000]).unwrap();
    let said = curl(&["--data-binary", &data, "--write-out", " %{http_code}", &format!("{url}/nowhere")]);
    assert_eq!(said, "Not Found\n 404");
    assert_eq!(curl(&["--header", "Expect: 100-continue", "--data", "abc", &count]), "3");
    assert_eq!(curl(&["--header", "Transfer-Encoding: chunked", "--data", "abc", &count]), "3");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn nghttp_reads_pages() {
    let url = serve();
    let arguments = ["--null-out", "--stat", "--window-bits=10", "--multiply=20"];
    let said = tool("nghttp", &[&arguments[..], &[&*format!("{url}/big")]].concat());
    assert_eq!(said.matches("  200   4M /big").count(), 20, "{said}");
}

#[test]
fn h2load_finds_no_error() {
    let url = serve();
    for (path, requests) in [("/", "20000"), ("/stream", "2000"), ("/big", "20")] {
        let arguments = ["--requests", requests, "--clients", "10", "--max-concurrent-streams", "100"];
        let page = format!("{url}{path}");
        let said = tool("h2load", &[&arguments[..], &[&page]].concat());
        let all = format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(said.contains(&all), "{path}: {said}");
        eprintln!("{path}: {}", said.lines().find(|l| l.starts_with("finished")).unwrap_or_default());
    }
}
