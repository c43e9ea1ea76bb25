//! The proxy's certificates, as a process, with curl: made, kept, and replaced, each host's for itself.

mod volume;

use fata::testing::{Process, free_port, run_tool};
use std::fs;
use std::io::Write;
use volume::{Volume, tool};

const CHAIN: &str = include_str!("../../../tls/tests/certificates/server.pem");
const KEY: &str = include_str!("../../../tls/tests/certificates/server-key.pem");
const ROOT: &str = "../../tls/tests/certificates/root.pem";

/// Two hosts before a server that is not there: what is asked of is the certificate.
const CONFIG: &str = "pool app\n server 127.0.0.1:9\nhost server.test\n pool app\nhost own.test\n pool app\n certificate folder\n";

fn proxy(params: &[&str]) -> (Process, u16, u16) {
    let (port, admin) = (free_port(), free_port());
    let own = ["http=off", &format!("tls-port={port}"), &format!("admin-port={admin}")];
    let process = Process::start(env!("CARGO_BIN_EXE_proxy"), [&own[..], params].concat());
    process.wait_for(&format!("HTTPS on port {port}"));
    (process, port, admin)
}

/// The status and the first field of HSTS of an answer for a host, for who trusts this root.
fn page(host: &str, port: u16, root: &str) -> String {
    let (url, resolve) = (format!("https://{host}:{port}/"), format!("{host}:{port}:127.0.0.1"));
    let what = ["-o", "/dev/null", "-w", "%{http_code} %header{strict-transport-security}"];
    let usual = ["-sS", "--max-time", "20", "--cacert", root, "--resolve", &resolve];
    tool("curl", &[&usual[..], &what, &[&url]].concat())
}

#[test]
fn what_is_made_is_kept_and_others_take_its_place() {
    let volume = Volume::new("keys", &[]);
    volume.put("proxy.conf", CONFIG);
    let disk = format!("config.file={}", volume.image());
    let get = |path: &str| tool("mtype", &["-i", &volume.image(), &format!("::{path}")]);
    let root = volume.file("made.pem");

    let (proxy, port, _) = self::proxy(&[&disk, "hsts=1min"]);
    proxy.wait_for("the disk config had no certificate for server.test: made one");
    proxy.wait_for("the disk config had no certificate for own.test: made one");
    let chain = get("folder/chain.pem");
    fs::write(&root, &chain).unwrap();
    assert_eq!(page("own.test", port, &root), "502 max-age=60");
    assert_eq!(proxy.leave().code(), Some(0));

    // The same at the next start; then one host has another, and the other one keeps its own.
    let (proxy, port, admin) = self::proxy(&[&disk, "reload=100ms"]);
    assert_eq!(page("own.test", port, &root), "502 ");
    volume.put("server.test/key.pem", KEY);
    proxy.wait_for("keys: server.test: ");
    volume.put("server.test/chain.pem", CHAIN);
    proxy.wait_for("another certificate is shown from now on");
    assert_eq!(page("server.test", port, ROOT), "502 ");
    assert_eq!(page("own.test", port, &root), "502 ");
    let metrics = tool("curl", &["-sS", &format!("http://127.0.0.1:{admin}/metrics")]);
    assert!(metrics.contains("tls_reloads_total 1\n"), "{metrics}");
    assert_eq!(proxy.leave().code(), Some(0));
    assert_eq!(get("folder/chain.pem"), chain);
}

/// An archive stays as it is, and another one may have a certificate.
#[test]
fn what_cannot_be_kept_is_shown_all_the_same() {
    let folder = Volume::new("archive", &[]);
    let (disk, contents) = (folder.file("archive"), folder.file("contents"));
    fs::create_dir_all(format!("{contents}/server.test")).unwrap();
    let put = |name: &str, text: &str| fs::write(format!("{contents}/{name}"), text).unwrap();
    // Written over in place: the process has the file open.
    let pack = || {
        tool("tar", &["-C", &contents, "-cf", &folder.file("packed"), "."]);
        let mut octets = fs::read(folder.file("packed")).unwrap();
        octets.resize(64 << 10, 0);
        let mut disk = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&disk).unwrap();
        disk.write_all(&octets).unwrap();
    };
    put("proxy.conf", CONFIG);
    pack();
    let (proxy, port, _) = self::proxy(&[&format!("config.file={disk}"), "reload=100ms"]);
    proxy.wait_for("no certificate for server.test: one that has signed itself, until it ends");
    put("server.test/chain.pem", CHAIN);
    put("server.test/key.pem", KEY);
    pack();
    proxy.wait_for("another certificate is shown from now on");
    assert_eq!(page("server.test", port, ROOT), "502 ");
    assert_eq!(proxy.leave().code(), Some(0));
}

/// Half a pair is somebody's mistake, and not to be overwritten.
#[test]
fn half_a_pair_is_an_error() {
    let volume = Volume::new("half", &["folder"]);
    volume.put("proxy.conf", CONFIG);
    volume.put("folder/key.pem", KEY);
    let disk = format!("config.file={}", volume.image());
    let process = Process::start(env!("CARGO_BIN_EXE_proxy"), [&*disk]);
    process.wait_for("folder/chain.pem is not there");
}

/// One certificate for all names of a label more, but for the one that has its own.
#[test]
fn names_with_a_star_have_a_certificate_of_their_own() {
    let volume = Volume::new("star", &[]);
    let hosts = "host *.star.test\n pool app\nhost own.star.test\n pool app\n certificate own\n";
    volume.put("proxy.conf", &format!("pool app\n server 127.0.0.1:9\n{hosts}"));
    let (proxy, port, _) = self::proxy(&[&format!("config.file={}", volume.image())]);
    let made = |folder: &str| {
        let root = volume.file(folder);
        fs::write(&root, tool("mtype", &["-i", &volume.image(), &format!("::{folder}/chain.pem")])).unwrap();
        root
    };
    let (star, own) = (made("star.test"), made("own"));
    for (host, root, code) in [
        ("a.star.test", &star, 0),
        ("b.star.test", &star, 0),
        ("own.star.test", &own, 0),
        ("own.star.test", &star, 60),
        ("a.star.test", &own, 60),
        // A star is one label.
        ("a.b.star.test", &star, 60),
        ("star.test", &star, 60),
    ] {
        let (url, resolve) = (format!("https://{host}:{port}/"), format!("{host}:{port}:127.0.0.1"));
        let asked =
            ["-sS", "--max-time", "20", "-o", "/dev/null", "--cacert", root, "--resolve", &resolve, &url];
        // curl's 60: it is no certificate for that name.
        assert_eq!(run_tool("curl", asked).status.code(), Some(code), "{host} {root}");
    }
    assert_eq!(proxy.leave().code(), Some(0));
}
