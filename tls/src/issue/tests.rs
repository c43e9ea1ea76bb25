//! What openssl, rustls' verifier and our own readers think of what is made here.

use super::*;
use crate::{ClientConfig, ServerConfig, TlsAcceptor, TlsConnector};
use fata_libos::testing::run;
use fata_libos::time::{Duration, SystemTime};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use std::io::Write;
use std::process::{Command, Stdio};

/// 2026-11-23T06:13:20Z, and 90 days later.
const NOW: SystemTime = SystemTime::from_unix(Duration::from_secs(1_795_414_400));
const LATER: SystemTime = SystemTime::from_unix(Duration::from_secs(1_795_414_400 + 90 * 86_400));
const NAMES: [&str; 4] = ["appliance.test", "*.appliance.test", "10.0.0.2", "2001:db8::2"];

/// What openssl prints, which has to succeed.
fn openssl(args: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is a Debian package of that name");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args:?}: {text}");
    text
}

/// The text's lines without blanks before them, one behind the other.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.since_unix())
}

#[test]
fn openssl_reads_a_certificate_and_agrees() {
    run(async {
        let issued = self_signed(&NAMES, NOW, LATER).unwrap();
        let text =
            lines(&openssl(&["x509", "-noout", "-text", "-nameopt", "RFC2253"], issued.chain_pem.as_bytes()));
        for part in [
            "Version: 3 (0x2)",
            "Signature Algorithm: ecdsa-with-SHA256",
            "Issuer: CN=appliance.test\n",
            "Not Before: Nov 23 05:13:20 2026 GMT\nNot After : Feb 21 06:13:20 2027 GMT\n",
            "Subject: CN=appliance.test\n",
            "ASN1 OID: prime256v1",
            "X509v3 Subject Alternative Name:\n\
         DNS:appliance.test, DNS:*.appliance.test, IP Address:10.0.0.2, IP Address:2001:DB8:0:0:0:0:0:2\n",
            "X509v3 Basic Constraints: critical\nCA:FALSE\n",
            "X509v3 Key Usage: critical\nDigital Signature\n",
            "X509v3 Extended Key Usage:\nTLS Web Server Authentication\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let public = openssl(&["x509", "-noout", "-pubkey"], issued.chain_pem.as_bytes());
        assert_eq!(openssl(&["pkey", "-pubout"], issued.key_pem.as_bytes()), public);
        assert!(openssl(&["pkey", "-noout", "-check"], issued.key_pem.as_bytes()).contains("Key is valid"));
        let again = self_signed(&NAMES, NOW, LATER).unwrap();
        assert_ne!(issued.chain_pem, again.chain_pem, "another key and number");
    });
}

#[test]
fn openssl_verifies_it_for_servers() {
    run(async {
        let issued = self_signed(&NAMES, NOW, LATER).unwrap();
        let file = std::env::temp_dir().join(format!("fata-issue-{}.pem", std::process::id()));
        std::fs::write(&file, &issued.chain_pem).unwrap();
        let path = file.to_str().unwrap();
        let moment = NOW.since_unix().as_secs().to_string();
        let verify = |more: &[&str]| {
            let all = [
                &["verify", "-CAfile", path, "-purpose", "sslserver", "-attime", &moment][..],
                more,
                &[path],
            ]
            .concat();
            Command::new("openssl").args(all).output().unwrap().status.success()
        };
        let named = (verify(&["-verify_hostname", "x.appliance.test"]), verify(&["-verify_ip", "10.0.0.2"]));
        let wrong = (verify(&["-verify_hostname", "other.test"]), verify(&["-verify_ip", "10.0.0.3"]));
        std::fs::remove_file(&file).unwrap();
        assert_eq!((named, wrong), ((true, true), (false, false)));
    });
}

#[test]
fn webpki_accepts_it_as_a_server_of_its_names() {
    run(async {
        let issued = self_signed(&NAMES, NOW, LATER).unwrap();
        let der = der(&issued.chain_pem);
        let anchors = [webpki::anchor_from_trusted_cert(&der).unwrap().to_owned()];
        let certificate = webpki::EndEntityCert::try_from(&der).unwrap();
        let verify = |at: SystemTime| {
            let usage = webpki::KeyUsage::server_auth();
            let provider = crate::provider::provider();
            let algorithms = provider.signature_verification_algorithms.all;
            certificate.verify_for_usage(algorithms, &anchors, &[], unix(at), usage, None, None).map(|_| ())
        };
        verify(NOW).unwrap();
        verify(SystemTime::from_unix(NOW.since_unix() - Duration::from_secs(3600))).unwrap();
        verify(SystemTime::from_unix(NOW.since_unix() - Duration::from_secs(3602))).unwrap_err();
        verify(SystemTime::from_unix(LATER.since_unix() + Duration::from_secs(2))).unwrap_err();
        for (name, is_named) in [
            ("appliance.test", true),
            ("a.appliance.test", true),
            ("10.0.0.2", true),
            ("2001:db8::2", true),
            ("other.test", false),
            ("a.b.appliance.test", false),
            ("10.0.0.3", false),
        ] {
            let name = ServerName::try_from(name).unwrap();
            assert_eq!(certificate.verify_is_valid_for_subject_name(&name).is_ok(), is_named, "{name:?}");
        }
    });
}

#[test]
fn our_own_readers_take_it() {
    run(async {
        let issued = self_signed(&NAMES, NOW, LATER).unwrap();
        TlsAcceptor::new(ServerConfig::from_pem(&issued.chain_pem, &issued.key_pem).unwrap()).unwrap();
        TlsConnector::new(ClientConfig::from_roots_pem(&issued.chain_pem).unwrap()).unwrap();
        let stranger = PrivateKey::generate().unwrap().to_pem().unwrap();
        let mismatch = ServerConfig::from_pem(&issued.chain_pem, &stranger).unwrap_err();
        assert_eq!(mismatch, crate::ConfigError::KeyMismatch);
        let key = PrivateKey::from_pem(&issued.key_pem).unwrap();
        assert_eq!(key.to_pem().unwrap(), issued.key_pem);
        let (x, y) = key.public();
        let point = [&[4][..], &x, &y].concat();
        assert!(der(&issued.chain_pem).windows(65).any(|window| window == point));
    });
}

#[test]
fn keys_of_openssl_are_read_and_others_are_not() {
    run(async {
        let p256 = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let key = PrivateKey::from_pem(&openssl(&p256, b"")).unwrap();
        assert!(self_signed_with(&key, &["a.test"], NOW, LATER).is_ok());
        let p384 = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], b"");
        let ed25519 = openssl(&["genpkey", "-algorithm", "ED25519"], b"");
        let whole = key.to_pem().unwrap();
        for pem in ["", "no key", &p384, &ed25519, &whole[..whole.len() / 2]] {
            assert_eq!(PrivateKey::from_pem(pem).unwrap_err(), IssueError::BadKey, "{pem}");
        }
    });
}

#[test]
fn dates_until_and_from_2050() {
    run(async {
        for (from, to, text) in [
            (0, 1, "Not Before: Jan  1 00:00:00 1970 GMT\nNot After : Jan  1 00:00:01 1970 GMT"),
            (
                2_524_607_999 + 3600,
                2_524_608_001 + 3600,
                "Not Before: Dec 31 23:59:59 2049 GMT\nNot After : Jan  1 01:00:01 2050 GMT",
            ),
            (
                2_524_608_000 + 3600,
                253_402_300_799,
                "Not Before: Jan  1 00:00:00 2050 GMT\nNot After : Dec 31 23:59:59 9999 GMT",
            ),
        ] {
            let at = |seconds| SystemTime::from_unix(Duration::from_secs(seconds));
            let issued = self_signed(&["a.test"], at(from), at(to)).unwrap();
            let read = lines(&openssl(&["x509", "-noout", "-text"], issued.chain_pem.as_bytes()));
            assert!(read.contains(text), "{text} is not in {read}");
            let back = u64::saturating_sub(from, 3600);
            assert_eq!(
                Validity::of(&issued.chain_pem).unwrap(),
                Validity { not_before: at(back), not_after: at(to) }
            );
            // Encoded as webpki wants it, too.
            webpki::EndEntityCert::try_from(&der(&issued.chain_pem)).unwrap();
        }
        let at = |seconds| SystemTime::from_unix(Duration::from_secs(seconds));
        for (from, to) in [(5, 5), (6, 5), (5, 253_402_300_800)] {
            let refused = self_signed(&["a.test"], at(from), at(to)).unwrap_err();
            assert_eq!(refused, IssueError::BadValidity { from, to });
        }
    });
}

#[test]
fn validity_of_what_others_have_made() {
    run(async {
        let root = include_str!("../../tests/certificates/root.pem");
        let dates = lines(&openssl(&["x509", "-noout", "-dates", "-dateopt", "iso_8601"], root.as_bytes()));
        let validity = Validity::of(root).unwrap();
        let text = |time: SystemTime| time.utc().to_string().replace('T', " ");
        let ours = format!("notBefore={}\nnotAfter={}", text(validity.not_before), text(validity.not_after));
        assert_eq!(ours, dates);
        let certificate = der(root);
        for end in 0..certificate.len() {
            // Cut anywhere, changed anywhere: an error or a date, and no panic.
            let mut changed = certificate.to_vec();
            changed[end] ^= 0x55;
            for der in [&certificate[..end], &changed] {
                let pem =
                    p256::pkcs8::der::pem::encode_string("CERTIFICATE", Default::default(), der).unwrap();
                let _ = Validity::of(&pem);
            }
        }
        assert_eq!(Validity::of("").unwrap_err(), IssueError::BadCertificate);
        let (not_before, not_after) = (NOW, LATER);
        let third = Duration::from_secs(60 * 86_400);
        let two_thirds = Validity { not_before, not_after }.two_thirds();
        assert_eq!(two_thirds, SystemTime::from_unix(NOW.since_unix() + third));
    });
}

#[test]
fn a_long_name_is_no_common_name() {
    run(async {
        let long = format!("{}.test", "a".repeat(60));
        let issued = self_signed(&[long.as_str()], NOW, LATER).unwrap();
        let text = openssl(&["x509", "-noout", "-text"], issued.chain_pem.as_bytes());
        assert!(text.contains("CN = self-signed") && text.contains(&long), "{text}");
    });
}

#[test]
fn openssl_verifies_a_request() {
    run(async {
        let key = PrivateKey::generate().unwrap();
        let request = request(&key, &Names::parse(&NAMES).unwrap()).unwrap();
        let text = lines(&openssl(&["req", "-inform", "DER", "-verify", "-noout", "-text"], &request));
        for part in [
            "self-signature verify OK",
            "Version: 1 (0x0)",
            "Subject: \n",
            "ASN1 OID: prime256v1",
            "Requested Extensions:\nX509v3 Subject Alternative Name:\n\
         DNS:appliance.test, DNS:*.appliance.test, IP Address:10.0.0.2, IP Address:2001:DB8:0:0:0:0:0:2\n",
            "Signature Algorithm: ecdsa-with-SHA256",
        ] {
            assert!(
                text.contains(part) || part == "Subject: \n" && text.contains("Subject:\n"),
                "{part:?}: {text}"
            );
        }
        let mut broken = request.clone();
        *broken.last_mut().unwrap() ^= 1;
        let mut child = Command::new("openssl")
            .args(["req", "-inform", "DER", "-verify", "-noout"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&broken).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("verify OK"));
    });
}

#[test]
fn the_certificate_of_a_challenge() {
    run(async {
        let digest: [u8; 32] = std::array::from_fn(|n| n as u8 * 7);
        let issued = acme_certificate("appliance.test", &digest, NOW).unwrap();
        let text = lines(&openssl(&["x509", "-noout", "-text"], issued.chain_pem.as_bytes()));
        assert!(text.contains("X509v3 Subject Alternative Name:\nDNS:appliance.test\n"), "{text}");
        assert!(text.contains("1.3.6.1.5.5.7.1.31: critical\n"), "{text}");
        // id-pe-acmeIdentifier, critical, OCTET STRING of the Authorization, an OCTET STRING of 32 (RFC 8737 section 3).
        let extension = [
            &[0x30, 0x31, 0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 1, 1, 0xff, 0x04, 0x22, 0x04, 0x20][..],
            &digest,
        ]
        .concat();
        assert!(der(&issued.chain_pem).windows(extension.len()).any(|window| window == extension));
        assert!(acme_certificate("192.0.2.1", &digest, NOW).is_ok());
        assert!(acme_certificate("no name", &digest, NOW).is_err());
    });
}

#[test]
fn signatures_are_what_es256_is() {
    run(async {
        let key = PrivateKey::generate().unwrap();
        let signature = key.sign_es256(b"message").unwrap();
        let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
        let (x, y) = key.public();
        let public = p256::ecdsa::VerifyingKey::from_sec1_bytes(&[&[4][..], &x, &y].concat()).unwrap();
        ecdsa::signature::Verifier::verify(&public, b"message", &signature).unwrap();
        assert!(ecdsa::signature::Verifier::verify(&public, b"messagf", &signature).is_err());
    });
}
