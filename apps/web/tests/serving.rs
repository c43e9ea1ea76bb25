//! The appliance's routes, asked as a client asks.

#[path = "../../../http/tests/common/mod.rs"]
mod common;

use common::*;
use fata::net::{Config, Ipv4Config, Stack, TcpListener, TcpStream, testing::Hub};
use fata_http::{Limits, Server, Stats};
use fata_libos::time::{Duration, sleep};
use std::io::Write;
use std::process::{Command, Stdio};
use std::rc::Rc;
use web_site::content::SITE;
use web_site::site::{File, Site, Target, Variant};
use web_site::state::{Peers, State};

/// By the host's gzip; for pages that a pipe holds.
fn unpacked(content: &[u8]) -> Vec<u8> {
    let mut gzip =
        Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(content).unwrap();
    let output = gzip.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn serve(site: &'static Site) -> Server {
    serve_on(site, None)
}

/// With a stack that the figures are of.
fn serve_on(site: &'static Site, stack: Option<Stack>) -> Server {
    let stats = Rc::<Stats>::default();
    let state = Rc::new(State::new(stats.clone(), Peers::Hidden));
    if let Some(stack) = stack {
        state.set_network(stack);
    }
    Server::with(web_site::router(site, state), Limits::default(), stats)
}

/// The answer's head as text, and its content as octets.
async fn get(path: &str, fields: &str) -> (String, Vec<u8>) {
    let mut client = Client::new(&serve(&SITE));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n")).await;
    let octets = client.rest_octets().await;
    let end = octets.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8(octets[..end].to_vec()).unwrap(), octets[end..].to_vec())
}

#[test]
fn pages_and_their_types() {
    run(async {
        for (path, kind) in [
            ("/", "text/html; charset=utf-8"),
            ("/index.html", "text/html; charset=utf-8"),
            ("/%69ndex.html", "text/html; charset=utf-8"),
            ("/a/../index.html", "text/html; charset=utf-8"),
            ("/favicon.svg", "image/svg+xml"),
            ("/status", "text/html; charset=utf-8"),
            ("/status.json", "application/json"),
            ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ] {
            let (head, content) = get(path, "").await;
            assert_eq!((status(&head), field(&head, "Content-Type")), (200, Some(kind)), "{path}");
            assert_eq!(field(&head, "Content-Length"), Some(&*content.len().to_string()));
            assert_eq!(head.matches("\nContent-Type").count(), 1);
        }
        for path in ["/nothing", "/a/b", "/..", "/%2e%2e/etc/passwd", "/index.html/", "//", "/a%2fb"] {
            let (head, content) = get(path, "").await;
            assert_eq!((status(&head), field(&head, "ETag")), (404, None), "{path}");
            assert_eq!(field(&head, "Content-Type"), Some("text/html; charset=utf-8"));
            assert!(String::from_utf8(content).unwrap().contains("<h1>404</h1>"), "{path}");
        }
    });
}

#[test]
fn the_page_for_measuring_is_4096_octets_long() {
    run(async {
        let (head, content) = get("/4k.html", "").await;
        assert_eq!((content.len(), field(&head, "Content-Encoding")), (4096, None));
    });
}

#[test]
fn gzip_for_those_who_want_it() {
    run(async {
        let (plain_head, plain) = get("/style.css", "").await;
        let (head, packed) = get("/style.css", "Accept-Encoding: br, gzip;q=0.8\r\n").await;
        assert_eq!(field(&head, "Content-Encoding"), Some("gzip"));
        for head in [&plain_head, &head] {
            assert_eq!(field(head, "Vary"), Some("Accept-Encoding"));
        }
        assert_ne!(field(&head, "ETag"), field(&plain_head, "ETag"));
        assert!(packed.len() < plain.len());
        assert_eq!(unpacked(&packed), plain);
        assert_eq!(&packed[4..8], [0; 4], "no time in it");
        let (head, content) = get("/style.css", "Accept-Encoding: gzip;q=0\r\n").await;
        assert_eq!((field(&head, "Content-Encoding"), content), (None, plain));
        // Over TLS the length of a page in gzip could tell what is in it.
        let (head, _) = get("/", "Accept-Encoding: gzip\r\n").await;
        assert_eq!(field(&head, "Content-Encoding").is_some(), cfg!(not(feature = "tls")));
    });
}

#[test]
fn again_only_what_has_changed() {
    run(async {
        let (head, content) = get("/4k.html", "").await;
        let tag = field(&head, "ETag").unwrap().to_owned();
        let date = field(&head, "Last-Modified").unwrap().to_owned();
        let (same, nothing) = get("/4k.html", &format!("If-None-Match: {tag}\r\n")).await;
        assert_eq!((status(&same), nothing.len(), field(&same, "ETag")), (304, 0, Some(&*tag)));
        assert_eq!(status(&get("/4k.html", &format!("If-Modified-Since: {date}\r\n")).await.0), 304);
        let (part, octets) = get("/4k.html", "Range: bytes=-96\r\n").await;
        assert_eq!((status(&part), &octets[..]), (206, &content[4000..]));
        assert_eq!(status(&get("/4k.html", "Range: bytes=4096-\r\n").await.0), 416);
    });
}

static PAGE: File =
    File { plain: Variant { headers: "ETag: \"p\"\r\n", etag: "\"p\"", body: b"page" }, gzip: None };
static FOLDERS: Site = Site {
    last_modified: Some(784_111_777),
    not_found: None,
    entries: &[
        ("/a b", Target::Folder("/a%20b/")),
        ("/a b/", Target::File(&PAGE)),
        ("/a b/index.html", Target::File(&PAGE)),
    ],
};

#[test]
fn folders() {
    run(async {
        for (path, code, place) in [
            ("/a%20b", 301, Some("/a%20b/")),
            ("/a%20b?c=d", 301, Some("/a%20b/?c=d")),
            ("/%61%20b/.", 200, None),
            ("/a%20b/", 200, None),
            ("//a%20b", 404, None),
            ("/", 404, None),
        ] {
            let answer = answer(&serve(&FOLDERS), format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!((status(&answer), field(&answer, "Location")), (code, place), "{path}");
        }
        let page = answer(&serve(&FOLDERS), "GET /a%20b/ HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(field(&page, "Last-Modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    });
}

#[test]
fn other_methods() {
    run(async {
        for (line, code) in [("POST /", 405), ("PUT /new", 405), ("DELETE /status", 405), ("OPTIONS /", 204)]
        {
            let answer = answer(&serve(&SITE), format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!(
                (status(&answer), field(&answer, "Allow")),
                (code, Some("GET, HEAD, OPTIONS")),
                "{line}"
            );
        }
        let head = answer(&serve(&SITE), "HEAD /4k.html HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!((status(&head), field(&head, "Content-Length"), body(&head)), (200, Some("4096"), ""));
    });
}

#[test]
fn the_status_page_has_its_values_in_it() {
    run(async {
        let server = serve(&SITE);
        let mut client = Client::new(&server);
        client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let page = client.ask("GET /status HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(page.contains("<b id=\"requests\">1</b>"), "{page}");
        assert!(page.contains("since 2026-01-01T00:00:00Z"));
        assert!(page.contains("id=\"state\">{\"uptime_ms\":"));
        for left in ["<!--", "/*STATE*/"] {
            assert!(!page.contains(left), "{left} is left");
        }
        let json = client.ask("GET /status.json HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(json.contains("\"requests\":2,"), "{json}");
        assert_eq!(field(&json, "Cache-Control"), Some("no-store"));
    });
}

#[test]
fn the_state_has_a_table_of_connections() {
    run(async {
        let hub = Hub::default();
        let stacks = [1, 2].map(|n: u8| {
            let stack = Stack::new();
            let ipv4 = Ipv4Config::Static { address: [10, 0, 0, n].into(), prefix_len: 24, gateway: None };
            stack.add_interface("main", Box::new(hub.device(n, false)), Config { ipv4, ..Config::default() });
            stack
        });
        sleep(Duration::from_millis(1)).await;
        let listener = TcpListener::bind(&stacks[0], "10.0.0.1:80".parse().unwrap()).unwrap();
        let mut peers = Vec::new();
        for _ in 0..60 {
            let peer = TcpStream::connect(&stacks[1], "10.0.0.1:80".parse().unwrap()).await.unwrap();
            peers.push((peer, listener.accept().await.unwrap()));
        }
        let ask = "GET /status.json HTTP/1.1\r\nHost: h\r\n\r\n";
        let json = answer(&serve_on(&SITE, Some(stacks[0].clone())), ask).await;
        let row =
            "{\"local\":\"10.0.0.1:80\",\"remote\":\"10.0.0.x\",\"state\":\"ESTABLISHED\",\"send_queue\":0,";
        assert_eq!(json.matches(row).count(), 50, "{json}");
        assert!(body(&json).ends_with("}],\"tcp_total\":60}"), "{json}");
        let page = "GET /status HTTP/1.1\r\nHost: h\r\n\r\n";
        let page = answer(&serve_on(&SITE, Some(stacks[0].clone())), page).await;
        assert!(page.contains("TCP connections: <span id=\"tcp\">60</span>") && page.contains(row), "{page}");
        // Whoever starts the appliance may have all of it shown.
        let (mut shown, address) = (String::new(), peers[0].0.local_addr());
        Peers::Shown.write(address, &mut shown);
        assert_eq!(shown, address.to_string());
        for (peers, text) in [(Peers::Shown, "[2001:db8:0:0:0:0:0:7]:80"), (Peers::Hidden, "[2001:db8:0]:0")]
        {
            let mut shown = String::new();
            peers.write("[2001:db8::7]:80".parse().unwrap(), &mut shown);
            assert_eq!(shown, text);
        }
    });
}

/// The rules of the text format that `promtool check metrics` looks at: HELP and TYPE once, before the samples of that
/// name; counters, and only they, end in `_total`; names and values well formed.
#[test]
fn metrics_are_well_formed() {
    run(async {
        let (stack, hub) = (Stack::new(), Hub::default());
        for (name, number) in [("main", 1), ("back", 2)] {
            stack.add_interface(name, Box::new(hub.device(number, false)), Config::default());
        }
        // Each asks for an address once.
        sleep(Duration::from_millis(100)).await;
        let answer = answer(&serve_on(&SITE, Some(stack)), "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let text = body(&answer);
        assert!(text.ends_with('\n'));
        let (mut seen, mut current) = (Vec::new(), ("", ""));
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty() && !seen.contains(&name), "{line}");
                let kind = lines.next().unwrap().strip_prefix(&*format!("# TYPE {name} ")).unwrap();
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                seen.push(name);
                current = (name, kind);
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert_eq!(name, current.0);
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(value.parse::<f64>().is_ok_and(|v| v >= 0.0), "{line}");
            assert!(sample.len() == name.len() || sample.ends_with("\"}"), "{line}");
        }
        for name in ["http_responses_total", "fata_uptime_seconds", "fata_net_tcp_opened_total"] {
            assert!(seen.contains(&name), "no {name}");
        }
        for line in [
            "# TYPE fata_net_tcp_connections gauge",
            "fata_interface_up{interface=\"main\"} 1",
            "fata_interface_tx_frames_total{interface=\"main\"} 1",
            "fata_interface_tx_frames_total{interface=\"back\"} 1",
            "fata_interface_rx_errors_total{interface=\"back\"} 0",
            "fata_interface_tx_packets_total{interface=\"main\",protocol=\"udp\"} 1",
            "fata_interface_rx_packets_total{interface=\"main\",protocol=\"ip\"} 1",
            "fata_interface_rx_dropped_total{interface=\"back\",protocol=\"udp\",reason=\"queue_full\"} 0",
            "fata_interface_tx_dropped_total{interface=\"main\",protocol=\"ip\",reason=\"no_neighbour\"} 0",
            "# TYPE fata_net_tcp_retransmits_total counter",
            "# TYPE fata_net_tcp_reordered_total counter",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line}: {text}");
        }
    });
}
