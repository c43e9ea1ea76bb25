//! The proxy as a process, and servers of the test's own.
#![allow(dead_code, reason = "each test file uses its part")]

use fata::testing::{Process, free_port, run_tool};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A server that says its name and the head of each request, for ever. `/slow` comes in ten pieces; an upgrade becomes an echo.
pub fn server(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(name, stream.unwrap()));
        }
    });
    port
}

pub fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut octet).ok()? == 0 {
            return None;
        }
        head.push(octet[0]);
    }
    String::from_utf8(head).ok()
}

fn serve(name: &str, mut stream: TcpStream) {
    while let Some(head) = head(&mut stream) {
        let lower = head.to_lowercase();
        if lower.contains("\r\nupgrade: ") {
            stream.write_all(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
            let mut piece = [0; 1000];
            while let Ok(n @ 1..) = stream.read(&mut piece) {
                stream.write_all(&piece[..n]).unwrap();
            }
            return;
        }
        let length =
            lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut content = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut content).unwrap();
        if head.starts_with("GET /slow") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").unwrap();
            for _ in 0..10 {
                thread::sleep(Duration::from_millis(200));
                stream.write_all(&[b'x'; 100]).unwrap();
            }
            continue;
        }
        let text = format!("{name}\n{head}{} octets\n", content.len());
        let head = format!(
            "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: x-hop\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all((head + &text).as_bytes()).unwrap();
    }
}

/// The proxy before these servers; its ports of HTTP and HTTPS.
pub fn proxy(backends: &[u16], params: &[&str]) -> (Process, u16, u16) {
    let backends: Vec<String> = backends.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    started(&[&[&*format!("backends={}", backends.join(","))], params].concat())
}

pub fn curl(arguments: &[&str]) -> String {
    let output = run_tool(
        "curl",
        [&["--silent", "--show-error", "--insecure", "--max-time", "20"], arguments].concat(),
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The status that curl gets. It may take it amiss that a stream of HTTP/2 ends before all of its request is sent (RFC 9113 section 8.1).
pub fn status(arguments: &[&str]) -> String {
    let always = ["--silent", "--insecure", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"];
    let output = run_tool("curl", [&always, arguments].concat());
    assert!(matches!(output.status.code(), Some(0 | 92)), "curl {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server that does this with each connection.
pub fn server_that(does: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let does = std::sync::Arc::new(does);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let does = does.clone();
            thread::spawn(move || does(stream.unwrap()));
        }
    });
    port
}

pub fn raw(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A folder of a test's own, which ends with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fata-proxy-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file there.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The proxy with that configuration on a disk; its ports of HTTP and HTTPS.
pub fn configured(folder: &Folder, config: &str, params: &[&str]) -> (Process, u16, u16) {
    folder.file("proxy.conf", config);
    let disk = folder.path().join("disk.tar");
    let output =
        run_tool("tar", ["-C", folder.path().to_str().unwrap(), "-cf", disk.to_str().unwrap(), "proxy.conf"]);
    assert!(output.status.success());
    let disk = format!("config.file={}", disk.display());
    started(&[&[&*disk], params].concat())
}

fn started(params: &[&str]) -> (Process, u16, u16) {
    let (port, tls_port) = (free_port(), free_port());
    let (plain, tls) = (format!("port={port}"), format!("tls-port={tls_port}"));
    let http = (!params.iter().any(|param| param.starts_with("http="))).then_some("http=serve");
    let all: Vec<_> = [&*plain, &*tls].into_iter().chain(http).chain(params.iter().copied()).collect();
    let process = Process::start(env!("CARGO_BIN_EXE_proxy"), all);
    process.wait_for(&format!("HTTPS on port {tls_port}"));
    (process, port, tls_port)
}

/// A value of the metrics.
pub fn metric(admin: u16, name: &str) -> u64 {
    let all = curl(&[&format!("http://127.0.0.1:{admin}/metrics")]);
    let of_name = |line: &str| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<u64>().ok();
    let values: Vec<u64> = all.lines().filter_map(of_name).collect();
    assert!(!values.is_empty(), "{name} in {all}");
    values.iter().sum()
}
