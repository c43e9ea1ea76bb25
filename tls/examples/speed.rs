//! What the provider takes on this host, in time of the processor, beside rustls' provider over *ring*: key exchange, signatures,
//! hashes and key schedules, records of TLS 1.3.
//!
//!     cargo run --release -p fata-tls --example speed
//!     cargo run --release -p fata-tls --example speed -- ours     # without *ring*
//!
//! How fast a package is compiled to be is in the workspace's profiles; `--config 'profile.release.package.p256.opt-level=3'` tries another.
use fata_aead::Aead;
use fata_libos::testing::run;
use fata_tls::provider::provider;
use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, OutboundChunks, OutboundPlainMessage, Tls13AeadAlgorithm,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ContentType, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite};
use std::hint::black_box;
use std::time::Duration;

/// How long each row is measured.
const ROW: Duration = Duration::from_millis(300);

fn main() {
    let wanted = std::env::args().nth(1);
    run(async {
        for (name, provider) in [("ours", provider()), ("ring", rustls::crypto::ring::default_provider())] {
            if wanted.as_deref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            println!("{name}");
            if name == "ours" {
                cipher::<fata_aead::Aes128Gcm>("AES-128-GCM");
                cipher::<fata_aead::ChaCha20Poly1305>("ChaCha20-Poly1305");
            }
            for group in &provider.kx_groups {
                let peer = group.start().unwrap().pub_key().to_vec();
                row(&format!("{:?}: share and secret", group.name()), || {
                    group.start_and_complete(&peer).unwrap()
                });
            }
            for key in ["p256", "p384", "ed25519", "rsa"] {
                signatures(&provider, key);
            }
            for suite in provider.cipher_suites.iter().filter_map(SupportedCipherSuite::tls13) {
                schedule(&format!("{:?}", suite.common.suite), suite);
                records(&format!("{:?}", suite.common.suite), suite.aead_alg);
            }
        }
    });
}

/// The cipher alone, without rustls' buffers.
fn cipher<A: Aead>(name: &str) {
    let Some(key) = A::new(&[1; 32][..A::KEY_LEN]) else { return };
    let mut text = vec![5; 16384];
    let each = row(&format!("{name}: seal 16 KiB in place"), || key.seal(&[2; 12], &[], &mut text));
    println!("  {:44} {:>9.0} MB/s", "", text.len() as f64 / each.as_secs_f64() / 1e6);
}

/// Time that this process has had a processor: others may have it too.
fn busy() -> Duration {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    Duration::from_nanos(
        line.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds come first"),
    )
}

/// Prints how long one call takes.
fn row<T>(name: &str, mut what: impl FnMut() -> T) -> Duration {
    black_box(what());
    let (start, mut count, mut batch) = (busy(), 0, 1);
    loop {
        for _ in 0..batch {
            black_box(what());
        }
        count += batch;
        let taken = busy() - start;
        if taken >= ROW {
            let each = taken / count;
            println!("  {name:44} {:>9.1} us", each.as_nanos() as f64 / 1000.0);
            return each;
        }
        // Asking for the time takes time.
        batch *= 2;
    }
}

fn signatures(provider: &CryptoProvider, name: &str) {
    let file = format!("{}/tests/handshakes/keys/{name}-key.pem", env!("CARGO_MANIFEST_DIR"));
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(file).unwrap()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let mapping = provider.signature_verification_algorithms.mapping;
    let schemes: Vec<_> = mapping.iter().map(|(scheme, _)| *scheme).collect();
    let signer = key.choose_scheme(&schemes).unwrap();
    let message = [7; 130];
    row(&format!("{:?}: sign", signer.scheme()), || signer.sign(&message).unwrap());
    let signature = signer.sign(&message).unwrap();
    let (_, algorithms) = mapping.iter().find(|(scheme, _)| *scheme == signer.scheme()).unwrap();
    let spki = key.public_key().unwrap();
    // What is inside its BIT STRING, whose content ends the structure: a key of any of these begins at a known place from the end.
    let len = match name {
        "p256" => 65,
        "p384" => 97,
        "ed25519" => 32,
        _ => 270,
    };
    let public = &spki.as_ref()[spki.as_ref().len() - len..];
    row(&format!("{:?}: verify", signer.scheme()), || {
        algorithms[0].verify_signature(public, &message, &signature).unwrap()
    });
}

/// What a handshake hashes, about: its messages, and its secrets from each other (RFC 8446 section 7.1).
fn schedule(name: &str, suite: &Tls13CipherSuite) {
    let messages = vec![5; 4096];
    row(&format!("{name}: hash 4 KiB"), || suite.common.hash_provider.hash(&messages));
    row(&format!("{name}: ten secrets"), || {
        let expander = suite.hkdf_provider.extract_from_secret(None, &[7; 32]);
        let mut secret = [0; 48];
        for label in 0..10 {
            expander.expand_slice(&[&[label]], &mut secret[..expander.hash_len()]).unwrap();
        }
        secret
    });
}

fn records(name: &str, aead: &dyn Tls13AeadAlgorithm) {
    let key = || AeadKey::from([1; 32]);
    let text = vec![5; 16384];
    // Keys of fewer octets than rustls' largest cannot be made outside of it.
    if aead.key_len() != 32 {
        return;
    }
    let mut encrypter = aead.encrypter(key(), Iv::from([2; 12]));
    let mut seal = |seq| {
        let payload = OutboundChunks::Single(&text);
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_3,
            payload,
        };
        encrypter.encrypt(message, seq).unwrap()
    };
    let mut seq = 0;
    let each = row(&format!("{name}: seal 16 KiB"), || {
        seq += 1;
        seal(seq)
    });
    println!("  {:44} {:>9.0} MB/s", "", text.len() as f64 / each.as_secs_f64() / 1e6);
    let sealed = seal(7).payload.as_ref().to_vec();
    let mut decrypter = aead.decrypter(key(), Iv::from([2; 12]));
    let mut buffer = sealed.clone();
    let each = row(&format!("{name}: open 16 KiB"), || {
        buffer.copy_from_slice(&sealed);
        let message =
            InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut buffer);
        decrypter.decrypt(message, 7).unwrap();
    });
    println!("  {:44} {:>9.0} MB/s", "", text.len() as f64 / each.as_secs_f64() / 1e6);
}
