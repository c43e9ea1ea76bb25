//! A root, and a pair for a server that it has signed as authorities do, by openssl. The tool's boot tests have it by its path.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXTENSIONS: &str = "basicConstraints=critical,CA:FALSE\n\
    keyUsage=critical,digitalSignature\n\
    extendedKeyUsage=serverAuth\n\
    crlDistributionPoints=URI:http://crl.test/list\n";
const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// Files in a folder, which is gone when the test has ended: `root.pem` and `root-key.pem`, `chain.pem` and `key.pem`.
pub struct Authority(PathBuf);

impl Authority {
    /// With a certificate for these names.
    pub fn new(folder: &Path, names: &[&str]) -> Self {
        fs::create_dir_all(folder).unwrap();
        let authority = Self(folder.to_owned());
        let all: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let extensions = format!("subjectAltName={}\n{EXTENSIONS}", all.join(","));
        fs::write(authority.file("extensions"), extensions).unwrap();
        authority.openssl(&format!(
            "req -x509 {KEY} -keyout IN/root-key.pem -out IN/root.pem -days 90 -subj /CN=test \
             -addext keyUsage=critical,keyCertSign,cRLSign -addext basicConstraints=critical,CA:TRUE"
        ));
        authority
            .openssl(&format!("req -new {KEY} -keyout IN/key.pem -out IN/request -subj /CN={}", names[0]));
        authority.openssl(
            "x509 -req -in IN/request -CA IN/root.pem -CAkey IN/root-key.pem -set_serial 4097 -days 80 \
             -extfile IN/extensions -out IN/chain.pem",
        );
        authority
    }

    /// Makes `ocsp.der`, which says for two days that the certificate is good.
    pub fn say_that_it_is_good(&self) {
        fs::write(self.file("index"), "V\t491231235959Z\t\t1001\tunknown\t/CN=server\n").unwrap();
        self.openssl("ocsp -issuer IN/root.pem -cert IN/chain.pem -reqout IN/asked");
        let signer = "-rsigner IN/root.pem -rkey IN/root-key.pem -CA IN/root.pem";
        self.openssl(&format!("ocsp -index IN/index {signer} -reqin IN/asked -respout IN/ocsp.der -ndays 2"));
    }

    /// An archive with the pair, `keys.tar`, of whole sectors.
    pub fn archive(&self) -> PathBuf {
        let archive = self.file("keys.tar");
        let mut tar = Command::new("tar");
        run(tar.arg("-C").arg(&self.0).arg("-cf").arg(&archive).args(["chain.pem", "key.pem"]));
        archive
    }

    /// The path of a file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn openssl(&self, arguments: &str) {
        let folder = self.0.display().to_string();
        let arguments = arguments.split_ascii_whitespace();
        run(Command::new("openssl").args(arguments.map(|word| word.replace("IN/", &format!("{folder}/")))));
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
