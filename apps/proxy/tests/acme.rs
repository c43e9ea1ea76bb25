//! The proxy with a certificate of an authority, as a process: the ACME server of caddy looks on ports 80 and 443 whether the names are ours,
//! in a network namespace of the test's own.

#[path = "../../../acme/tests/caddy/authority.rs"]
mod authority;
mod volume;

use authority::{Authority, inside, tool};
use fata::testing::{self, Process, Signal};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use volume::Volume;

const OWN: &str = include_str!("../../../tls/tests/certificates/server.pem");
const OWN_KEY: &str = include_str!("../../../tls/tests/certificates/server-key.pem");
const OWN_ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tls/tests/certificates/root.pem");

/// A server whose first response comes when it is told to, but for its head; the others come at once.
fn server(go: Receiver<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let (mut head, mut octet) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut octet).unwrap() > 0 {
                head.push(octet[0]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n").unwrap();
            if head.starts_with(b"GET /held") {
                go.recv().unwrap();
            }
            stream.write_all(b"hello\n").unwrap();
        }
    });
    port
}

/// What curl gets from the proxy, with these arguments before the URL.
fn curl(url: &str, more: &[&str]) -> String {
    tool("curl", &[&["-sS", "--max-time", "60"], more, &[url]].concat())
}

fn serial(root: &str, url: &str) -> String {
    let said = curl(url, &["--cacert", root, "-o", "/dev/null", "-w", "%{certs}"]);
    said.lines().find_map(|line| line.strip_prefix("Serial Number:")).expect(&said).to_owned()
}

#[test]
fn a_certificate_for_all_hosts_comes_while_a_request_is_answered() {
    inside("a_certificate_for_all_hosts_comes_while_a_request_is_answered", || {
        let authority = Authority::start();
        let root = authority.root().display().to_string();
        // One host has a certificate of its own.
        let (tell, go) = channel();
        let text = format!(
            "pool app\n server 127.0.0.1:{}\nhost appliance.test\n pool app\nhost server.test\n pool app\nhost other.test\n pool app\n",
            server(go)
        );
        let volume = Volume::new("acme", &["server.test"]);
        volume.put("proxy.conf", &text);
        volume.put("server.test/chain.pem", OWN);
        volume.put("server.test/key.pem", OWN_KEY);
        let (kept, roots) = (volume.file("acme.img"), volume.file("roots.img"));
        fs::File::create(&kept).unwrap().set_len(1 << 20).unwrap();
        let mut pem = fs::read(&root).unwrap();
        pem.resize(pem.len().next_multiple_of(512), b'\n');
        fs::write(&roots, pem).unwrap();
        let disks = [
            format!("config.file={}", volume.image()),
            format!("acme.file={kept}"),
            format!("roots.file={roots}"),
            format!("acme={}", Authority::DIRECTORY),
        ];
        let start = |more: &[&str]| {
            let own = disks.iter().map(|param| &**param).chain(["acme-terms=on", "admin-port=9090"]);
            let process = Process::start(env!("CARGO_BIN_EXE_proxy"), own.chain(more.iter().copied()));
            process.wait_for("HTTPS on port 443");
            process
        };
        let metrics = || curl("http://localhost:9090/metrics", &[]);

        // While the authority stands still a request begins, under a certificate that was made here.
        authority.process.signal(Signal::STOP);
        let proxy = start(&["acme-ways=http-01", "hsts=1h"]);
        proxy.wait_for(
            "a certificate made here for appliance.test, other.test until the authority's is there",
        );
        let held = thread::spawn(|| curl("https://appliance.test/held", &["-k", "-D", "-"]));
        let is_under_way =
            |line: &str| line.starts_with("proxy_backend_requests_under_way{") && line.ends_with(" 1");
        while !metrics().lines().any(is_under_way) {
            assert!(!held.is_finished(), "{:?}", held.join());
            thread::sleep(Duration::from_millis(50));
        }
        authority.process.signal(Signal::CONT);
        proxy.wait_for("a certificate has come, and is shown from now on");
        tell.send(()).unwrap();
        let held = held.join().unwrap();
        assert!(
            held.ends_with("hello\n") && held.contains("trict-transport-security: max-age=3600\r\n"),
            "{held}"
        );

        // One for both, over one connection too, where the other host's own is misdirected.
        let first = serial(&root, "https://appliance.test/");
        assert_eq!(serial(&root, "https://other.test/"), first);
        assert_eq!(
            curl("https://appliance.test/", &["--cacert", &root, "-H", "Host: other.test"]),
            "hello\n"
        );
        let own = ["--cacert", OWN_ROOT, "--resolve", "server.test:443:127.0.0.1"];
        assert_eq!(curl("https://server.test/", &own), "hello\n");
        let status = ["--cacert", &root, "-H", "Host: server.test", "-o", "/dev/null", "-w", "%{http_code}"];
        assert_eq!(curl("https://appliance.test/", &status), "421");
        for line in [
            "acme_certificates_total 1\n",
            "acme_failures_total 0\n",
            "acme_unsaved_total 0\n",
            "tls_reloads_total 1\n",
        ] {
            assert!(metrics().contains(line), "{line}: {}", metrics());
        }
        assert_eq!(proxy.leave().code(), Some(0));

        // From the disk, at once and without an order.
        let proxy = start(&["acme-ways=http-01"]);
        proxy.wait_for("the disk acme has a certificate");
        assert_eq!(serial(&root, "https://appliance.test/"), first);
        assert!(metrics().contains("acme_certificates_total 0\n"), "{}", metrics());
        assert_eq!(proxy.leave().code(), Some(0));

        // Another host, and nothing that listens for HTTP: by tls-alpn-01.
        volume.put("proxy.conf", &text.replace("host other.test\n pool app\n", ""));
        let proxy = start(&["http=off"]);
        proxy.wait_for("a certificate has come, and is shown from now on");
        assert_ne!(serial(&root, "https://appliance.test/"), first);
        assert_eq!(proxy.leave().code(), Some(0));

        // Clients have to show certificates, as no authority does: by http-01, though tls-alpn-01 is the dearer.
        volume.put("proxy.conf", &text);
        volume.put("client-ca.pem", &fs::read_to_string(OWN_ROOT).unwrap());
        let proxy = start(&["client-certificates=require"]);
        proxy.wait_for("a certificate has come, and is shown from now on");
        assert_eq!(proxy.leave().code(), Some(0));
    });
}
