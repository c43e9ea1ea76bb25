//! A certificate from an authority: the ACME server of caddy looks on ports 80 and 443 whether the names are ours, in a network namespace of the
//! test's own.

#[path = "../../../../acme/tests/caddy/authority.rs"]
mod authority;

use super::Volume;
use authority::{Authority, inside, tool};
use fata::testing::{self, Process, Signal};
use std::time::{Duration, Instant};
use std::{fs, thread};

const CLIENTS: &str = include_str!("../../../../tls/tests/certificates/root.pem");

/// What curl gets that trusts this root, with these arguments before the URL.
fn curl(root: &str, more: &[&str], url: &str) -> String {
    tool("curl", &[&["-sS", "--max-time", "60", "--cacert", root], more, &[url]].concat())
}

/// The serial number of the certificate that a page comes by, which has to be whole.
fn serial(root: &str, name: &str, more: &[&str]) -> String {
    let what = ["-o", "/dev/null", "-w", "%{http_code} %{size_download} %{http_version}\n%{certs}"];
    let said = curl(root, &[&what, more].concat(), &format!("https://{name}/4k.html"));
    assert!(said.starts_with("200 4096 2\n"), "{said}");
    said.lines().find_map(|line| line.strip_prefix("Serial Number:")).expect(&said).to_owned()
}

/// An order that failed, as the authority stood still for too long, is tried again after a minute.
const ORDER: Duration = Duration::from_secs(200);

/// Waits until a certificate has come.
fn wait_for_order(web: &Process) {
    let until = Instant::now() + ORDER;
    while !web.said().contains("a certificate has come, and is shown from now on") {
        assert!(Instant::now() < until, "no certificate comes: {}", web.said());
        thread::sleep(Duration::from_millis(50));
    }
}

/// So many have come.
fn figures(root: &str, certificates: u32) {
    let metrics = curl(root, &[], "https://appliance.test/metrics");
    for line in [
        &*format!("acme_certificates_total {certificates}\n"),
        "acme_unsaved_total 0\n",
        &*format!("tls_reloads_total {certificates}\n"),
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn by_each_way_and_kept() {
    inside("ordered::by_each_way_and_kept", || {
        let authority = Authority::start();
        let root = authority.root().display().to_string();
        let volume = Volume::new("ordered", &[("client-ca.pem", CLIENTS)]);
        let (kept, roots) = (volume.0.join("acme.img"), volume.0.join("roots.img"));
        fs::File::create(&kept).unwrap().set_len(1 << 20).unwrap();
        let mut pem = fs::read(&root).unwrap();
        pem.resize(pem.len().next_multiple_of(512), b'\n');
        fs::write(&roots, pem).unwrap();
        let always = [
            format!("acme.file={}", kept.display()),
            format!("roots.file={}", roots.display()),
            format!("acme={}", Authority::DIRECTORY),
        ];
        let start = |more: &[&str]| {
            let always = always.iter().map(|param| &**param).chain(["acme-terms=on"]);
            let web = Process::start(env!("CARGO_BIN_EXE_web"), always.chain(more.iter().copied()));
            web.wait_for("HTTPS on port 443");
            web
        };
        let both = ["names=appliance.test,other.test", "acme-ways=http-01"];
        // While the authority stands still pages are served all the same, by a certificate that was made here.
        authority.process.signal(Signal::STOP);
        let web = start(&both);
        web.wait_for("a certificate made here for appliance.test, other.test until the authority's is there");
        let made = serial(&root, "appliance.test", &["--insecure"]);
        authority.process.signal(Signal::CONT);
        wait_for_order(&web);
        let first = serial(&root, "appliance.test", &[]);
        assert_ne!(first, made);
        assert_eq!(serial(&root, "other.test", &[]), first);
        figures(&root, 1);
        let status = curl(&root, &[], "https://appliance.test/status.json");
        assert!(status.contains("\"acme\":{") && status.contains("appliance.test"), "{status}");
        // All else on the port of HTTP leads to HTTPS as before.
        let what = ["-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"];
        let said = curl(&root, &what, "http://other.test/4k.html");
        assert_eq!(said, "308 https://other.test/4k.html");
        assert_eq!(web.leave().code(), Some(0));

        // From the disk, at once and without an order.
        let web = start(&both);
        web.wait_for("the disk acme has a certificate");
        assert_eq!(serial(&root, "appliance.test", &[]), first);
        figures(&root, 0);
        assert_eq!(web.leave().code(), Some(0));

        // Other names want another one.
        let web = start(&["names=appliance.test", "acme-ways=tls-alpn-01"]);
        wait_for_order(&web);
        let second = serial(&root, "appliance.test", &[]);
        assert_ne!(second, first);
        figures(&root, 1);
        assert_eq!(web.leave().code(), Some(0));

        // Clients have to show certificates, as no authority does: by http-01, though tls-alpn-01 is the dearer.
        #[cfg(feature = "client-certificates")]
        {
            let keys = format!("keys.file={}", volume.image());
            let web = start(&["names=other.test", "client-certificates=require", &keys]);
            wait_for_order(&web);
            let own = |name: &str| format!("../../tls/tests/certificates/{name}.pem");
            let third = serial(&root, "other.test", &["--cert", &own("client"), "--key", &own("client-key")]);
            assert_ne!(third, second);
            assert_eq!(web.leave().code(), Some(0));
        }
    });
}
