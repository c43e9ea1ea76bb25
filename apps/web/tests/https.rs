//! The web server with TLS as a process, with curl: a certificate that is made, kept, and replaced.

use fata::testing::{Process, free_port, run_tool};
use std::fs;
use std::path::PathBuf;

#[cfg(feature = "acme")]
#[path = "https/acme.rs"]
mod acme;
#[path = "https/alpn.rs"]
mod alpn;
#[cfg(feature = "client-certificates")]
#[path = "https/clients.rs"]
mod clients;
#[cfg(feature = "acme")]
#[path = "https/ordered.rs"]
mod ordered;

const CHAIN: &str = include_str!("../../../tls/tests/certificates/server.pem");
const KEY: &str = include_str!("../../../tls/tests/certificates/server-key.pem");
const CHAIN_OF_RSA: &str = include_str!("../../../tls/tests/certificates/rsa.pem");
const ROOT: &str = "../../tls/tests/certificates/root.pem";

/// An image of a FAT volume, gone when the test has ended.
struct Volume(PathBuf);

impl Volume {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("fata-web-https-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let volume = Self(folder);
        fs::File::create(volume.image()).unwrap().set_len(1 << 20).unwrap();
        tool("/usr/sbin/mkfs.fat", &[&volume.image()]);
        for (name, text) in files {
            volume.put(name, text);
        }
        volume
    }

    fn image(&self) -> String {
        self.0.join("keys.img").display().to_string()
    }

    fn put(&self, name: &str, text: &str) {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        tool("mcopy", &["-o", "-i", &self.image(), &file.display().to_string(), "::"]);
    }

    fn get(&self, name: &str) -> String {
        tool("mtype", &["-i", &self.image(), &format!("::{name}")])
    }

    fn names(&self) -> String {
        tool("mdir", &["-b", "-i", &self.image(), "::"])
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tool(name: &str, arguments: &[&str]) -> String {
    let output = run_tool(name, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn web(params: &[&str]) -> (Process, String) {
    let (web, place, _) = web_with_port(params);
    (web, place)
}

/// The last is the port of plain HTTP.
fn web_with_port(params: &[&str]) -> (Process, String, u16) {
    let (port, tls_port) = (free_port(), free_port());
    let own = [format!("port={port}"), format!("tls-port={tls_port}")];
    let web = Process::start(env!("CARGO_BIN_EXE_web"), [&[&*own[0], &*own[1]], params].concat());
    web.wait_for(&format!("HTTPS on port {tls_port}"));
    (web, format!("localhost:{tls_port}"), port)
}

/// The status and the version of HTTP of a page, for who trusts this root.
fn page(place: &str, root: &str) -> String {
    let url = format!("https://{place}/");
    let what = ["--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"];
    tool(
        "curl",
        &[&["--silent", "--show-error", "--max-time", "20", "--cacert", root], &what[..], &[&url]].concat(),
    )
}

#[test]
fn alpn_is_binding() {
    let (web, place) = self::web(&[]);
    alpn::is_binding(&place);
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn what_is_made_is_kept() {
    let volume = Volume::new("made", &[]);
    let disk = format!("keys.file={}", volume.image());
    let (web, place) = self::web(&[&disk]);
    web.wait_for("made one for localhost");
    let chain = volume.get("chain.pem");
    let root = volume.0.join("made.pem");
    fs::write(&root, &chain).unwrap();
    assert_eq!(page(&place, root.to_str().unwrap()), "200 2");
    assert_eq!(web.leave().code(), Some(0));
    assert!(!volume.names().contains("unfinished"));
    let (web, place) = self::web(&[&disk]);
    assert_eq!(page(&place, root.to_str().unwrap()), "200 2");
    assert_eq!(web.leave().code(), Some(0));
    assert_eq!(volume.get("chain.pem"), chain);
}

/// Power was lost while the pair was written, at any moment: none of the states stops a start, and the pair is one after it.
#[test]
fn what_was_not_finished_is_made_anew() {
    let other_key = KEY.replacen("MIGH", "", 1);
    let states: [&[(&str, &str)]; 4] = [
        &[("unfinished", "")],
        &[("unfinished", ""), ("key.pem", "")],
        &[("unfinished", ""), ("key.pem", &other_key)],
        &[("unfinished", ""), ("key.pem", &other_key), ("chain.pem", CHAIN)],
    ];
    for (n, files) in states.into_iter().enumerate() {
        let volume = Volume::new(&format!("cut-{n}"), files);
        let (web, place) = self::web(&[&format!("keys.file={}", volume.image())]);
        let root = volume.0.join("made.pem");
        fs::write(&root, volume.get("chain.pem")).unwrap();
        assert_eq!(page(&place, root.to_str().unwrap()), "200 2", "{n}");
        assert_eq!(web.leave().code(), Some(0));
        assert!(!volume.names().contains("unfinished"), "{n}: {}", volume.names());
    }
}

/// A pair that belongs together is whole, whoever wrote it.
#[test]
fn a_whole_pair_stays() {
    let volume = Volume::new("whole", &[("unfinished", ""), ("key.pem", KEY), ("chain.pem", CHAIN)]);
    let (web, _) = self::web(&[&format!("keys.file={}", volume.image())]);
    assert_eq!(web.leave().code(), Some(0));
    assert_eq!((volume.get("key.pem"), volume.get("chain.pem")), (KEY.into(), CHAIN.into()));
    assert!(!volume.names().contains("unfinished"), "{}", volume.names());
}

/// Half a pair is somebody's mistake, and not to be overwritten.
#[test]
fn half_a_pair_is_an_error() {
    let volume = Volume::new("half", &[("key.pem", KEY)]);
    let web = Process::start(env!("CARGO_BIN_EXE_web"), [&*format!("keys.file={}", volume.image())]);
    web.wait_for("the disk keys: chain.pem is not there");
    assert_eq!(volume.get("key.pem"), KEY);
}

#[test]
fn another_pair_replaces_the_one_that_is_shown() {
    let volume = Volume::new("replaced", &[]);
    let (web, place) = self::web(&[&format!("keys.file={}", volume.image()), "reload=100ms"]);
    volume.put("chain.pem", CHAIN);
    web.wait_for("the private key does not belong to the first certificate; the certificate before stays");
    volume.put("key.pem", KEY);
    web.wait_for("another certificate is shown from now on");
    let name = place.replace("localhost", "server.test");
    let resolve = place.replace("localhost", "server.test").clone() + ":127.0.0.1";
    let url = format!("https://{name}/metrics");
    let metrics = tool("curl", &["--silent", "--show-error", "--cacert", ROOT, "--resolve", &resolve, &url]);
    assert!(metrics.contains("tls_reloads_total 1\n"), "{metrics}");
    assert!(metrics.contains("http_redirect_responses_total{class=\"3xx\"} 0\n"), "{metrics}");
    assert_eq!(web.leave().code(), Some(0));
}

/// What the server counts, for who trusts this root.
fn metrics(place: &str, root: &str) -> String {
    tool("curl", &["--silent", "--show-error", "--cacert", root, &format!("https://{place}/metrics")])
}

/// How often a pair was refused, once that is more than before.
fn refused_more_than(before: u64, place: &str, root: &str) -> u64 {
    for _ in 0..300 {
        let metrics = metrics(place, root);
        let figure = metrics.lines().find_map(|line| line.strip_prefix("tls_reloads_refused_total "));
        let refused = figure.unwrap().parse().unwrap();
        if refused > before {
            return refused;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no more than {before} refused: {}", metrics(place, root));
}

/// Pairs that cannot be used are counted, each once, not what is said of them: it is the same of all. A text that has the same
/// certificate is none that came.
#[test]
fn pairs_are_counted() {
    let volume = Volume::new("counted", &[]);
    let (web, place) = self::web(&[&format!("keys.file={}", volume.image()), "reload=100ms"]);
    let (own, own_key) = (volume.get("chain.pem"), volume.get("key.pem"));
    let root = volume.0.join("made.pem");
    fs::write(&root, &own).unwrap();
    let root = root.to_str().unwrap();
    // What is half written may count too.
    let mut refused = 0;
    for (file, text) in [("key.pem", KEY), ("chain.pem", CHAIN_OF_RSA), ("key.pem", &own_key)] {
        volume.put(file, text);
        refused = refused_more_than(refused, &place, root);
    }
    volume.put("chain.pem", &own.replace('\n', "\r\n"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    volume.put("chain.pem", CHAIN);
    refused_more_than(refused, &place, root);
    let metrics = metrics(&place, root);
    assert!(metrics.contains("tls_reloads_total 0\n"), "{metrics}");
    assert_eq!(web.leave().code(), Some(0));
}

/// An OCSP response beside a pair goes to who asks. One that cannot be shown is said, and the pair is shown without it.
#[test]
fn an_ocsp_response_is_shown() {
    let volume = Volume::new("ocsp", &[]);
    let at = |name: &str| volume.0.join(name).display().to_string();
    let openssl = |arguments: &str| {
        let arguments: Vec<_> = arguments.split(' ').map(|word| word.replace("IN/", &at(""))).collect();
        tool("openssl", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    };
    // It is its own issuer.
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout IN/key.pem";
    let names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost -set_serial 4097";
    openssl(&format!("req -x509 {key} -out IN/chain.pem {names} -days 9"));
    fs::write(at("index"), "V\t491231235959Z\t\t1001\tunknown\t/CN=localhost\n").unwrap();
    openssl("ocsp -issuer IN/chain.pem -cert IN/chain.pem -reqout IN/request");
    let signer = "-rsigner IN/chain.pem -rkey IN/key.pem -CA IN/chain.pem";
    openssl(&format!("ocsp -index IN/index {signer} -reqin IN/request -respout IN/ocsp.der -ndays 2"));
    let image = volume.image();
    let put = |name: &str| tool("mcopy", &["-o", "-i", &image, &at(name), "::"]);
    for name in ["chain.pem", "key.pem", "ocsp.der"] {
        put(name);
    }
    let (web, place) = self::web(&[&format!("keys.file={image}"), "reload=100ms"]);
    let root = at("chain.pem");
    let url = format!("https://{place}/metrics");
    let demanding = ["--silent", "--show-error", "--cert-status", "--cacert", &root, &url];
    let metrics = tool("curl", &demanding);
    let ends = metrics.lines().find_map(|line| line.strip_prefix("tls_ocsp_expires_seconds ")).unwrap();
    assert!(ends.parse::<u64>().unwrap() > 1_700_000_000, "{metrics}");

    fs::write(at("ocsp.der"), "none").unwrap();
    put("ocsp.der");
    web.wait_for("the OCSP response cannot be read; clients are shown none");
    web.wait_for("another certificate is shown from now on");
    assert!(!run_tool("curl", demanding).status.success());
    let metrics = self::metrics(&place, &root);
    for line in
        ["tls_ocsp_refused_total 1\n", "tls_ocsp_expires_seconds 0\n", "tls_reloads_refused_total 0\n"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(web.leave().code(), Some(0));
}

/// Who comes by HTTP is counted apart.
#[test]
fn redirects_are_counted() {
    let (web, place, port) = web_with_port(&[]);
    let plain = format!("http://localhost:{port}/");
    let what = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    assert_eq!(tool("curl", &[&what[..], &[&plain]].concat()), "308");
    let metrics = tool("curl", &["--silent", "--insecure", &format!("https://{place}/metrics")]);
    assert!(metrics.contains("http_redirect_responses_total{class=\"3xx\"} 1\n"), "{metrics}");
    assert!(metrics.contains("http_responses_total{class=\"3xx\"} 0\n"), "{metrics}");
    assert_eq!(web.leave().code(), Some(0));
}

/// Another certificate is made, and kept, before the one that was made ends: while the server runs, and when it starts.
#[test]
fn another_is_made_before_the_end() {
    let volume = Volume::new("short", &[]);
    let disk = format!("keys.file={}", volume.image());
    let (web, _) = self::web(&[&disk, "valid=4s", "reload=0s"]);
    let first = volume.get("chain.pem");
    web.wait_for("another certificate is shown from now on");
    let second = volume.get("chain.pem");
    assert_ne!(first, second);
    assert_eq!(web.leave().code(), Some(0));
    assert!(!volume.names().contains("unfinished"), "{}", volume.names());
    // By then it has ended, or is about to.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let (web, place) = self::web(&[&disk]);
    web.wait_for("the certificate made before ends soon: made another one for localhost");
    let root = volume.0.join("made.pem");
    let third = volume.get("chain.pem");
    assert_ne!(second, third);
    fs::write(&root, &third).unwrap();
    assert_eq!(page(&place, root.to_str().unwrap()), "200 2");
    assert_eq!(web.leave().code(), Some(0));
}

/// One that was made for as long as the server runs does not end before.
#[test]
fn another_is_made_without_a_disk() {
    let (web, _) = self::web(&["valid=4s"]);
    web.wait_for("another certificate is shown from now on");
    assert_eq!(web.leave().code(), Some(0));
}

/// What somebody else has put there is not replaced.
#[test]
fn what_was_not_made_here_stays() {
    let volume = Volume::new("own", &[]);
    let disk = format!("keys.file={}", volume.image());
    let (web, _) = self::web(&[&disk, "valid=6s", "reload=0s"]);
    assert_eq!(web.leave().code(), Some(0));
    let chain = volume.get("chain.pem");
    let (mark, own) = chain.split_once('\n').unwrap();
    assert!(mark.starts_with("Made by"), "{chain}");
    volume.put("chain.pem", own);
    std::thread::sleep(std::time::Duration::from_secs(7));
    let (web, _) = self::web(&[&disk]);
    web.wait_for("the certificate has expired");
    assert_eq!(web.leave().code(), Some(0));
    assert_eq!(volume.get("chain.pem"), own);
}
