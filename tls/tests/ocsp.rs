//! OCSP responses that `openssl ocsp` makes, shown to OpenSSL and to curl.

mod common;
#[path = "common/host.rs"]
mod host;

use fata_libos::time::{Duration, SystemTime};
use fata_tls::{OcspError, OcspResponse, ServerConfig};
use host::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority in a folder that goes away, with certificates for localhost.
struct Authority(PathBuf);

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Authority {
    fn new(name: &str) -> Self {
        Self::with_subject(name, "root")
    }

    /// With this subject.
    fn with_subject(name: &str, subject: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fata-tls-ocsp-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let authority = Self(folder);
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(
            &authority.0,
            &format!("req -x509 {key} -keyout root-key.pem -out root.pem -subj /CN={subject} -days 9"),
        );
        for (name, serial) in [("server", 4097), ("other", 4098)] {
            openssl(
                &authority.0,
                &format!("req {key} -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"),
            );
            fs::write(authority.0.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
            let signed =
                format!("-CA root.pem -CAkey root-key.pem -set_serial {serial} -days 9 -extfile names");
            openssl(&authority.0, &format!("x509 -req -in {name}.csr {signed} -out {name}.pem"));
        }
        authority
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(format!("{name}.pem"))).unwrap()
    }

    /// What the responder says about a certificate, which has this letter in its index.
    fn says(&self, name: &str, letter: &str, more: &str) -> Vec<u8> {
        self.says_by("sha1", name, letter, more)
    }

    /// The same to who has asked with this digest.
    fn says_by(&self, digest: &str, name: &str, letter: &str, more: &str) -> Vec<u8> {
        let revoked = if letter == "R" { "250101000000Z" } else { "" };
        let line = |serial| format!("{letter}\t491231235959Z\t{revoked}\t{serial}\tunknown\t/CN={serial}\n");
        fs::write(self.0.join("index"), [line("1001"), line("1002")].concat()).unwrap();
        openssl(&self.0, &format!("ocsp -{digest} -issuer root.pem -cert {name}.pem -reqout request"));
        let signer = "-rsigner root.pem -rkey root-key.pem -CA root.pem";
        openssl(&self.0, &format!("ocsp -index index {signer} -reqin request -respout response{more}"));
        fs::read(self.0.join("response")).unwrap()
    }

    fn config(&self) -> ServerConfig {
        // curl looks for the issuer among what the server sends.
        let chain = [self.text("server"), self.text("root")].concat();
        ServerConfig::from_pem(&chain, &self.text("server-key")).unwrap()
    }
}

#[test]
fn openssl_and_curl_see_that_the_certificate_is_good() {
    let authority = Authority::new("peers");
    let response = OcspResponse::from_der(&authority.says("server", "V", " -ndays 2")).unwrap();
    let root = authority.0.join("root.pem").to_str().unwrap().to_string();
    for is_shown in [true, false] {
        let config = match is_shown {
            true => authority.config().ocsp(&response).unwrap(),
            false => authority.config(),
        };
        let root = root.clone();
        let (outputs, _) = with_server(
            || config,
            move |address| {
                let (at, port) = (address.to_string(), address.port());
                let mut outputs = Vec::new();
                for version in ["-tls1_3", "-tls1_2"] {
                    let args =
                        ["s_client", "-connect", &at, "-CAfile", &root, "-status", "-ign_eof", version];
                    let said = command("openssl", &args, "GET /1 HTTP/1.0\r\n\r\n");
                    outputs.push((said.contains("OCSP Response Status: successful (0x0)"), said.clone()));
                    outputs.push((said.contains("Cert Status: good"), said));
                }
                let url = format!("https://localhost:{port}/1");
                for version in ["--tlsv1.3", "--tls-max"] {
                    let mut args = vec!["-sS", "--cacert", &root, "--cert-status", version];
                    args.extend((version == "--tls-max").then_some("1.2"));
                    args.extend(["--http1.0", &url]);
                    let said = command("curl", &args, "");
                    outputs.push((said.contains("sni=localhost"), said));
                }
                // Who does not ask is not bothered.
                let said = command("curl", &["-sS", "--cacert", &root, "--http1.0", &url], "");
                assert!(said.contains("sni=localhost"), "{said}");
                outputs
            },
        );
        for (is_seen, said) in outputs {
            assert_eq!(is_seen, is_shown, "{said}");
        }
    }
}

#[test]
fn what_a_response_says_is_looked_at() {
    let authority = Authority::new("table");
    let unix = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let now = SystemTime::from_unix(Duration::from_secs(unix));
    let after = |hours: u64| SystemTime::from_unix(Duration::from_secs(unix + hours * 3600));
    let hour_ago = SystemTime::from_unix(Duration::from_secs(unix - 3600));

    let good = authority.says("server", "V", " -ndays 2");
    let response = OcspResponse::from_der(&good).unwrap();
    let next = response.next_update().unwrap();
    assert!(next > after(47) && next < after(49), "{next:?}");
    assert_eq!(response.check_dates(now), Ok(()));
    for other in [next, hour_ago] {
        assert_eq!(response.check_dates(other), Err(OcspError::NotOfNow), "{other:?}");
    }
    assert_eq!(response.check_certificate(&authority.text("server")), Ok(()));
    assert_eq!(response.check_certificate(&authority.text("other")), Err(OcspError::OtherCertificate));
    assert_eq!(response.check_certificate("none"), Err(OcspError::OtherCertificate));
    assert!(authority.config().ocsp(&response).is_ok());

    let without_end = OcspResponse::from_der(&authority.says("server", "V", "")).unwrap();
    assert_eq!(without_end.next_update(), None);
    assert_eq!(without_end.check_dates(after(23)), Ok(()));
    assert_eq!(without_end.check_dates(after(25)), Err(OcspError::NotOfNow));
    assert_eq!(
        without_end.until().since_unix() - without_end.this_update().since_unix(),
        after(24).since_unix() - now.since_unix()
    );

    let other = OcspResponse::from_der(&authority.says("other", "V", " -ndays 2")).unwrap();
    assert_eq!(authority.config().ocsp(&other).map(drop), Err(OcspError::OtherCertificate));

    let read = |octets: &[u8]| OcspResponse::from_der(octets).map(drop);
    // The identifier of SHA-1, and another one.
    let mut by_another = good.clone();
    let at = good.windows(5).position(|octets| octets == [0x2b, 14, 3, 2, 26]).unwrap();
    by_another[at + 4] = 18;
    assert_eq!(read(&by_another), Err(OcspError::UnknownDigest));
    assert_eq!(read(&authority.says("server", "R", " -ndays 2")), Err(OcspError::NotGood));
    // tryLater, RFC 6960 section 4.2.1.
    assert_eq!(read(&[0x30, 3, 0x0a, 1, 3]), Err(OcspError::Unsuccessful(3)));
    for end in 0..good.len() {
        let error = read(&good[..end]);
        assert_eq!(error, Err(OcspError::Malformed), "cut off at {end}");
    }
    assert_eq!(read(&[&good[..], &[0]].concat()), Err(OcspError::Malformed));
    assert_eq!(read(&[0; 70_000]), Err(OcspError::Malformed));
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x55;
        let _ = read(&changed);
    }
}

/// Numbers are given out by each authority for itself: its name counts too, and its key where that is known.
#[test]
fn the_same_number_of_another_authority_is_another_certificate() {
    let ours = Authority::new("ours");
    let (chain, alone) = ([ours.text("server"), ours.text("root")].concat(), ours.text("server"));
    for (subject, of_chain, of_alone) in [
        ("other", Err(OcspError::OtherCertificate), Err(OcspError::OtherCertificate)),
        // Without the authority's certificate nobody here knows its key.
        ("root", Err(OcspError::OtherCertificate), Ok(())),
    ] {
        let theirs = Authority::with_subject("theirs", subject);
        for digest in ["sha1", "sha256", "sha384", "sha512"] {
            let said = OcspResponse::from_der(&theirs.says_by(digest, "server", "V", " -ndays 2")).unwrap();
            assert_eq!(said.check_certificate(&chain), of_chain, "{subject} by {digest}");
            assert_eq!(said.check_certificate(&alone), of_alone, "{subject} by {digest}");
            assert_eq!(ours.config().ocsp(&said).map(drop), of_chain);
            let said = OcspResponse::from_der(&ours.says_by(digest, "server", "V", " -ndays 2")).unwrap();
            assert_eq!((said.check_certificate(&chain), said.check_certificate(&alone)), (Ok(()), Ok(())));
        }
    }
}
