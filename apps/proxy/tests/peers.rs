//! The proxy as a process among what others have made: HAProxy before it and behind it, nginx and a server of WebSockets behind it, h2load and
//! curl as clients. All of them from Debian.

mod common;

use common::*;
use fata::testing::{Process, free_port, run_tool};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program that runs until the test ends.
struct Running(Child);

impl Running {
    /// Starts it, and waits until it listens there.
    fn start(program: &str, arguments: &[&str], port: u16) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
        let mut running = Self(child);
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = running.0.try_wait().unwrap() {
                panic!("{program} has ended: {status}");
            }
            assert!(Instant::now() < until, "{program} does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HAPROXY: &str = "/usr/sbin/haproxy";

fn haproxy(folder: &Folder, config: &str, port: u16) -> Running {
    let always =
        "global\n maxconn 200\ndefaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n";
    let file = folder.file("haproxy.cfg", format!("{always}{config}"));
    Running::start(HAPROXY, &["-q", "-db", "-f", file.to_str().unwrap()], port)
}

/// HAProxy that asks for the PROXY protocol, says what it has been told by it, and is checked with it.
#[test]
fn haproxy_behind() {
    let folder = Folder::new("haproxy-behind");
    let behind = free_port();
    let config = format!(
        "frontend f\n mode http\n bind 127.0.0.1:{behind} accept-proxy\n http-request return status 200 content-type text/plain \
         lf-string \"%[src]:%[src_port] %[dst]:%[dst_port] %[req.hdr(X-Forwarded-For)]\\n\"\n"
    );
    let _haproxy = haproxy(&folder, &config, behind);
    let admin = free_port();
    for version in ["v1", "v2"] {
        let params = [
            &*format!("send-proxy={version}"),
            "proxy-from=127.0.0.0/8",
            "check=/up",
            &format!("admin-port={admin}"),
        ];
        let (process, port, _) = proxy(&[behind], &params);
        let get = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        for (header, said) in [
            ("PROXY TCP4 192.0.2.7 192.0.2.8 1 2", "192.0.2.7:1 192.0.2.8:2 192.0.2.7"),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 3 4", "2001:db8::1:3 2001:db8::2:4 2001:db8::1"),
        ] {
            let answer = raw(port, &format!("{header}\r\n{get}"));
            assert!(answer.ends_with(&format!("{said}\n")), "{version}: {answer}");
        }
        assert_eq!(metric(admin, "proxy_backend_bad_checks_total"), 0, "{version}");
        assert_eq!(process.leave().code(), Some(0));
    }
}

/// HAProxy in front, which looks at TLS no more than at all else.
#[test]
fn haproxy_before() {
    let folder = Folder::new("haproxy-before");
    let (process, port, tls_port) = proxy(&[server("one")], &["proxy-from=127.0.0.1"]);
    let mut config = String::new();
    let mut ports = Vec::new();
    for (send, check) in
        [("send-proxy", ""), ("send-proxy-v2", ""), ("send-proxy-v2-ssl", " check inter 200ms")]
    {
        for to in [port, tls_port] {
            let front = free_port();
            ports.push((front, to == tls_port));
            config += &format!(
                "listen l{front}\n mode tcp\n bind 127.0.0.1:{front}\n server s 127.0.0.1:{to} {send}{check}\n"
            );
        }
    }
    let _haproxy = haproxy(&folder, &config, ports[0].0);
    for (front, is_tls) in ports {
        let scheme = if is_tls { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{front}/");
        for (from, version) in [("127.0.0.9", "--http1.1"), ("127.0.0.10", "--http2")] {
            let answer = curl(&["--interface", from, version, &url]);
            let wanted = format!("\r\nX-Forwarded-For: {from}\r\nX-Forwarded-Proto: {scheme}\r\n");
            assert!(answer.contains(&wanted), "{wanted:?} in {answer}");
        }
    }
    assert_eq!(process.leave().code(), Some(0));
}

fn nginx(folder: &Folder, port: u16) -> Running {
    let root = folder.path().display();
    std::fs::create_dir_all(folder.path().join("www")).unwrap();
    folder.file("www/page", "x".repeat(4000));
    folder.file("www/large", vec![b'y'; 10_000_000]);
    // Connections end often, as they do before a busy server: after so many requests, and while they wait for one.
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr crit; 
         events {{ worker_connections 512; }}
         http {{ access_log off; keepalive_requests 20; keepalive_timeout 1s; client_body_temp_path {root}/body;
           proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
           gzip on; gzip_types *; gzip_proxied any; client_max_body_size 1m;
           server {{ listen 127.0.0.1:{port}; root {root}/www; default_type text/plain;
             location = /moved {{ return 302 /page; }} location = /slow {{ limit_rate 2000k; alias {root}/www/large; }} }} }}"
    );
    let file = folder.file("nginx.conf", config);
    let error_log = format!("{root}/error");
    Running::start("/usr/sbin/nginx", &["-e", &error_log, "-c", file.to_str().unwrap()], port)
}

/// nginx, whose connections end while they are wanted; no client sees anything of that.
#[test]
fn nginx_behind() {
    let (folder, behind, admin) = (Folder::new("nginx"), free_port(), free_port());
    let _nginx = nginx(&folder, behind);
    let (process, port, tls_port) = proxy(&[behind], &[&format!("admin-port={admin}"), "check=/page"]);
    let (plain, tls) = (format!("http://127.0.0.1:{port}"), format!("https://127.0.0.1:{tls_port}"));
    for (version, url) in [("--http1.1", &plain), ("--http2", &tls)] {
        let get = |arguments: &[&str], path: &str| {
            curl(&[&["-i", version], arguments, &[&format!("{url}{path}")]].concat()).to_lowercase()
        };
        let page = get(&[], "/page");
        assert!(page.ends_with(&"x".repeat(4000)) && page.contains("\r\netag: "), "{page}");
        let tag = page.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim().to_owned();
        let same = get(&["-H", &format!("If-None-Match: {tag}")], "/page");
        assert!(same.contains(" 304") && same.contains(&tag), "{same}");
        let part = get(&["-r", "1-3"], "/page");
        assert!(part.contains(" 206") && part.contains("\r\ncontent-range: bytes 1-3/4000\r\n"), "{part}");
        let packed = get(&["--compressed"], "/page");
        assert!(packed.contains("\r\ncontent-encoding: gzip\r\n") && packed.ends_with("xxx"), "{packed}");
        let head = get(&["--head"], "/page");
        assert!(head.contains("\r\ncontent-length: 4000\r\n"), "{head}");
        assert!(get(&[], "/moved").contains("\r\nlocation: "));
        assert!(get(&[], "/none").contains(" 404"));
        let file = folder.path().join("large");
        let large = format!("{url}/slow");
        curl(&[version, "-o", file.to_str().unwrap(), &large]);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 10_000_000);
        // It says no before it has it all, with and without being asked first.
        for expect in ["Expect: 100-continue", "Expect:"] {
            let url = format!("{url}/page");
            let refused = status(&[version, "-T", file.to_str().unwrap(), "-H", expect, &url]);
            assert!(refused == "413" || refused == "405", "{version} {expect} {refused}");
        }
    }
    for arguments in [&["--h1", &*plain][..], &["-m", "10", &*tls]] {
        let (target, rest) = arguments.split_last().unwrap();
        let target = format!("{target}/page");
        let output = run_tool("h2load", [&["-n", "1000", "-c", "10"], rest, &[&*target]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wanted =
            "requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert!(said.contains(wanted), "{said}");
    }
    let (connections, reused) =
        (metric(admin, "proxy_backend_connections_total"), metric(admin, "proxy_backend_reused_total"));
    assert!(connections < 350 && reused > 1700, "{connections} connections, {reused} reused");
    assert_eq!(metric(admin, "proxy_backend_failed_total"), 0);
    // What it has closed is not held for long.
    let until = Instant::now() + Duration::from_secs(20);
    while metric(admin, "proxy_backend_connections_kept") > 0 {
        assert!(Instant::now() < until, "connections are kept that nginx has closed");
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(process.leave().code(), Some(0));
}

const WEBSOCKETS: &str = r#"
import asyncio, os, ssl, sys, websockets

async def echo(socket):
    async for message in socket:
        await socket.send(message)
    assert socket.close_code == 1000, socket.close_code

async def client(number, url, context):
    async with websockets.connect(url, ssl=context, max_size=None, subprotocols=["b", "a"]) as socket:
        assert socket.subprotocol == "a", socket.subprotocol
        for size in (0, 1, 125, 126, 65536, 300000):
            message = os.urandom(size)
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send("text %d" % number)
        assert await socket.recv() == "text %d" % number
        await asyncio.wait_for(await socket.ping(), 10)
    assert socket.close_code == 1000, socket.close_code

async def main():
    own, plain, tls = sys.argv[1:]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with websockets.serve(echo, "127.0.0.1", int(own), max_size=None, subprotocols=["a"]):
        print("listening", flush=True)
        sys.stdin.readline()
        urls = [("ws://127.0.0.1:%s/" % plain, None), ("wss://127.0.0.1:%s/" % tls, context)]
        await asyncio.gather(*(client(n, *urls[n % 2]) for n in range(20)))
        print("all is well", flush=True)

asyncio.run(main())
"#;

#[test]
fn websockets() {
    let (folder, behind, admin) = (Folder::new("websockets"), free_port(), free_port());
    let script = folder.file("peers.py", WEBSOCKETS);
    let (process, port, tls_port) = proxy(&[behind], &[&format!("admin-port={admin}")]);
    let mut command = Command::new("/usr/bin/python3");
    command.arg(&script).args([behind, port, tls_port].map(|port| port.to_string()));
    let mut peers = Process::spawn(&mut command);
    peers.wait_for("listening");
    peers.type_line("");
    peers.wait_for("all is well");
    assert_eq!(peers.wait().code(), Some(0), "{}", peers.said());
    assert_eq!(metric(admin, "proxy_upgraded_total"), 20);
    assert_eq!(metric(admin, "proxy_tunnels_open"), 0);
    assert_eq!(process.leave().code(), Some(0));
}
