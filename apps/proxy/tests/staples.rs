//! OCSP responses of the proxy's hosts, each beside its own pair, as curl sees them.

mod volume;

use fata::testing::{Process, free_port, run_tool};
use std::fs;
use volume::{Volume, tool};

const CONFIG: &str =
    "pool app\n server 127.0.0.1:9\nhost a.test\n pool app\nhost b.test\n pool app\n certificate folder\n";

/// An authority beside the volume, which has given both hosts their certificates.
struct Authority<'a>(&'a Volume);

impl Authority<'_> {
    fn openssl(&self, arguments: &str) {
        let arguments: Vec<_> =
            arguments.split(' ').map(|word| word.replace("IN/", &self.0.file(""))).collect();
        tool("openssl", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn new(volume: &Volume) -> Authority<'_> {
        let authority = Authority(volume);
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        authority
            .openssl(&format!("req -x509 {key} -keyout IN/root-key -out IN/root -subj /CN=root -days 9"));
        for (host, serial) in [("a.test", 4097), ("b.test", 4098)] {
            authority
                .openssl(&format!("req {key} -keyout IN/{host}-key -out IN/{host}-csr -subj /CN={host}"));
            fs::write(volume.file("names"), format!("subjectAltName=DNS:{host}\n")).unwrap();
            let signed =
                format!("-CA IN/root -CAkey IN/root-key -set_serial {serial} -days 9 -extfile IN/names");
            authority.openssl(&format!("x509 -req -in IN/{host}-csr {signed} -out IN/{host}"));
            authority.openssl(&format!("ocsp -issuer IN/root -cert IN/{host} -reqout IN/request"));
            let line = format!("V\t491231235959Z\t\t{serial:X}\tunknown\t/CN={host}\n");
            fs::write(volume.file("index"), line).unwrap();
            let signer = "-rsigner IN/root -rkey IN/root-key -CA IN/root";
            authority.openssl(&format!(
                "ocsp -index IN/index {signer} -reqin IN/request -respout IN/{host}-ocsp -ndays 2"
            ));
        }
        authority
    }

    /// Puts the pair of a host into a folder. curl looks for the issuer among what is shown.
    fn put_pair(&self, host: &str, folder: &str) {
        let read = |name: &str| fs::read_to_string(self.0.file(name)).unwrap();
        self.0.put(&format!("{folder}/key.pem"), &read(&format!("{host}-key")));
        self.0.put(&format!("{folder}/chain.pem"), &[read(host), read("root")].concat());
    }

    fn put_ocsp(&self, host: &str, folder: &str) {
        let (file, to) = (self.0.file(&format!("{host}-ocsp")), format!("::{folder}/ocsp.der"));
        tool("mcopy", &["-o", "-i", &self.0.image(), &file, &to]);
    }

    /// Whether a host's certificate comes with a response that says that it is good.
    fn is_stapled(&self, host: &str, port: u16) -> bool {
        let (url, resolve) = (format!("https://{host}:{port}/"), format!("{host}:{port}:127.0.0.1"));
        let usual =
            ["-sS", "--max-time", "20", "--cacert", &self.0.file("root"), "--resolve", &resolve, &url];
        tool("curl", &usual);
        run_tool("curl", [&usual[..], &["--cert-status"]].concat()).status.success()
    }
}

#[test]
fn each_host_has_its_own() {
    let volume = Volume::new("staples", &["a.test", "folder"]);
    volume.put("proxy.conf", CONFIG);
    let authority = Authority::new(&volume);
    authority.put_pair("a.test", "a.test");
    authority.put_pair("b.test", "folder");
    authority.put_ocsp("a.test", "a.test");
    let (port, admin) = (free_port(), free_port());
    let own = ["http=off", &format!("tls-port={port}"), &format!("admin-port={admin}"), "reload=100ms"];
    let disk = format!("config.file={}", volume.image());
    let proxy = Process::start(env!("CARGO_BIN_EXE_proxy"), [&own[..], &[&*disk]].concat());
    proxy.wait_for(&format!("HTTPS on port {port}"));
    let stapled = || (authority.is_stapled("a.test", port), authority.is_stapled("b.test", port));
    assert_eq!(stapled(), (true, false));

    // That of the other one is none; nor does it cost the first one its own.
    authority.put_ocsp("a.test", "folder");
    proxy.wait_for("keys: folder: the OCSP response is about another certificate; clients are shown none");
    assert_eq!(stapled(), (true, false));
    authority.put_ocsp("b.test", "folder");
    proxy.wait_for("another certificate is shown from now on");
    assert_eq!(stapled(), (true, true));
    let metrics = tool("curl", &["-sS", &format!("http://127.0.0.1:{admin}/metrics")]);
    for line in ["tls_reloads_total 1\n", "tls_reloads_refused_total 0\n", "tls_ocsp_refused_total 1\n"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(proxy.leave().code(), Some(0));
}
