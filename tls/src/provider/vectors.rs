//! Wycheproof's vectors, through what rustls is given.

use super::{hmac, kx, verify};
use core::convert::Infallible;
use fata_aead::{Aead, Aes128Gcm, Aes256Gcm, ChaCha20Poly1305, TAG_LEN};
use p256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use rustls::NamedGroup;
use rustls::crypto::ActiveKeyExchange;
use rustls::crypto::hmac::Hmac;
use rustls::crypto::tls13::{Hkdf, HkdfUsingHmac};
use rustls::pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};
use wycheproof::TestResult;

/// How many cases were right. Vectors that went by unseen would be no test.
#[derive(Default)]
struct Count {
    valid: usize,
    invalid: usize,
}

impl Count {
    fn add(&mut self, set: &str, id: usize, result: TestResult, right: bool) {
        match result {
            TestResult::Valid => {
                assert!(right, "{set} {id}: valid, but was refused");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!right, "{set} {id}: invalid, but was taken");
                self.invalid += 1;
            }
            // Either is right.
            TestResult::Acceptable => {}
        }
    }
}

fn aead<A: Aead>(test: &wycheproof::aead::Test) -> bool {
    let key = A::new(&test.key).unwrap();
    let Ok(nonce) = test.nonce[..].try_into() else { return false };
    let mut sealed = test.pt.to_vec();
    let tag = key.seal(nonce, &test.aad, &mut sealed).unwrap();
    let same = sealed == *test.ct && tag[..] == test.tag[..];
    let mut opened = [&test.ct[..], &test.tag[..]].concat();
    let len = key.open(nonce, &test.aad, &mut opened);
    assert!(len.is_none() || opened[..opened.len() - TAG_LEN] == *test.pt);
    assert_eq!(len.is_some(), same, "{}: sealing and opening do not agree", test.tc_id);
    len.is_some()
}

#[test]
fn ciphers() {
    use wycheproof::aead::{TestName, TestSet};
    let mut count = [Count::default(), Count::default(), Count::default()];
    for name in [TestName::AesGcm, TestName::ChaCha20Poly1305] {
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests.iter().filter(|_| group.nonce_size == 96 && group.tag_size == 128) {
                let (n, right) = match (name, group.key_size) {
                    (TestName::AesGcm, 128) => (0, aead::<Aes128Gcm>(test)),
                    (TestName::AesGcm, 256) => (1, aead::<Aes256Gcm>(test)),
                    (TestName::ChaCha20Poly1305, 256) => (2, aead::<ChaCha20Poly1305>(test)),
                    _ => continue,
                };
                count[n].add("AEAD", test.tc_id, test.result, right);
            }
        }
    }
    assert_eq!(count.map(|c| (c.valid, c.invalid)), [(40, 27), (39, 27), (256, 60)]);
}

/// Gives what it was given once.
struct Scripted<'a>(&'a [u8]);

impl TryRng for Scripted<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("secrets are taken as octets")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("secrets are taken as octets")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let (now, later) = self.0.split_at(bytes.len());
        bytes.copy_from_slice(now);
        self.0 = later;
        Ok(())
    }
}

impl TryCryptoRng for Scripted<'_> {}

fn agree(exchange: Box<dyn ActiveKeyExchange>, public: &[u8], shared: &[u8]) -> bool {
    exchange.complete(public).is_ok_and(|secret| secret.secret_bytes() == shared)
}

#[test]
fn x25519() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let (mut count, mut zero) = (Count::default(), 0);
    for test in TestSet::load(TestName::X25519).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
        let exchange = kx::x25519::with_secret(&mut Scripted(&test.private_key));
        let right = agree(exchange, &test.public_key, &test.shared_secret);
        if test.flags.contains(&TestFlag::ZeroSharedSecret) {
            assert!(!right, "{}: everyone knows the secret", test.tc_id);
            zero += 1;
        } else {
            // Those that are not canonical or on the twist are taken (RFC 7748, section 5).
            assert!(right, "{}", test.tc_id);
            count.add("X25519", test.tc_id, test.result, right);
        }
    }
    assert_eq!((count.valid, count.invalid, zero), (264, 0, 31));
}

#[test]
fn ecdh() {
    use wycheproof::ecdh::{TestFlag, TestName, TestSet};
    let mut count = [Count::default(), Count::default()];
    for (n, name) in [TestName::EcdhSecp256r1Ecpoint, TestName::EcdhSecp384r1Ecpoint].into_iter().enumerate()
    {
        for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let len = [32, 48][n];
            let mut secret = vec![0; len];
            // Without zeroes in front, or with one.
            let octets = &test.private_key[test.private_key.len().saturating_sub(len)..];
            secret[len - octets.len()..].copy_from_slice(octets);
            let exchange = match n {
                0 => kx::nist::with_secret::<p256::NistP256>(NamedGroup::secp256r1, &mut Scripted(&secret)),
                _ => kx::nist::with_secret::<p384::NistP384>(NamedGroup::secp384r1, &mut Scripted(&secret)),
            };
            let right = agree(exchange, &test.public_key, &test.shared_secret);
            if test.flags.contains(&TestFlag::CompressedPoint) {
                assert!(!right, "{}: TLS has no shortened points", test.tc_id);
            } else {
                count[n].add("ECDH", test.tc_id, test.result, right);
            }
        }
    }
    assert_eq!(count.map(|c| (c.valid, c.invalid)), [(330, 17), (771, 17)]);
}

#[test]
fn hkdf() {
    use wycheproof::hkdf::{TestName, TestSet};
    let mut count = [Count::default(), Count::default()];
    let sets: [(TestName, &HkdfUsingHmac<'_>); 2] =
        [(TestName::HkdfSha256, &hmac::HKDF_SHA256), (TestName::HkdfSha384, &hmac::HKDF_SHA384)];
    for (n, (name, hkdf)) in sets.into_iter().enumerate() {
        for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let mut okm = vec![0; test.size];
            let expander = hkdf.extract_from_secret(Some(&test.salt), &test.ikm);
            let right = expander.expand_slice(&[&test.info], &mut okm).is_ok() && okm == *test.okm;
            count[n].add("HKDF", test.tc_id, test.result, right);
        }
    }
    assert_eq!(count.map(|c| (c.valid, c.invalid)), [(83, 3), (80, 3)]);
}

#[test]
fn hmacs() {
    use wycheproof::mac::{TestName, TestSet};
    let mut count = [Count::default(), Count::default()];
    let sets: [(TestName, &dyn Hmac); 2] =
        [(TestName::HmacSha256, &hmac::HMAC_SHA256), (TestName::HmacSha384, &hmac::HMAC_SHA384)];
    for (n, (name, hmac)) in sets.into_iter().enumerate() {
        for group in TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let (first, second) = test.msg.split_at(test.msg.len() / 2);
                let tag = hmac.with_key(&test.key).sign(&[first, second]);
                count[n].add(
                    "HMAC",
                    test.tc_id,
                    test.result,
                    tag.as_ref()[..group.tag_size / 8] == test.tag[..],
                );
            }
        }
    }
    assert_eq!(count.map(|c| (c.valid, c.invalid)), [(66, 108); 2]);
}

/// The algorithm as webpki finds it.
fn algorithm(
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
) -> &'static dyn SignatureVerificationAlgorithm {
    let found = |a: &&&dyn SignatureVerificationAlgorithm| {
        a.public_key_alg_id() == key && a.signature_alg_id() == signature
    };
    *verify::ALGORITHMS.all.iter().find(found).unwrap()
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let sets = [
        (TestName::EcdsaSecp256r1Sha256, alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
        (TestName::EcdsaSecp384r1Sha256, alg_id::ECDSA_P384, alg_id::ECDSA_SHA256),
        (TestName::EcdsaSecp384r1Sha384, alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
    ];
    let counts = sets.map(|(name, key, signature)| {
        let (algorithm, mut count) = (algorithm(key, signature), Count::default());
        for group in TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let right = algorithm.verify_signature(&group.key.key, &test.msg, &test.sig).is_ok();
                count.add("ECDSA", test.tc_id, test.result, right);
            }
        }
        (count.valid, count.invalid)
    });
    assert_eq!(counts, [(174, 310), (162, 310), (194, 310)]);
}

#[test]
fn ed25519() {
    use wycheproof::eddsa::{TestName, TestSet};
    let (algorithm, mut count) = (algorithm(alg_id::ED25519, alg_id::ED25519), Count::default());
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        for test in &group.tests {
            let right = algorithm.verify_signature(&group.key.pk, &test.msg, &test.sig).is_ok();
            count.add("Ed25519", test.tc_id, test.result, right);
        }
    }
    assert_eq!((count.valid, count.invalid), (88, 63));
}

#[test]
fn rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    // Each length and each hash, but not each with each: the longest keys take seconds.
    let sets = [
        (TestName::Rsa2048Sha256, alg_id::RSA_PKCS1_SHA256),
        (TestName::Rsa2048Sha384, alg_id::RSA_PKCS1_SHA384),
        (TestName::Rsa2048Sha512, alg_id::RSA_PKCS1_SHA512),
        (TestName::Rsa3072Sha256, alg_id::RSA_PKCS1_SHA256),
        (TestName::Rsa4096Sha384, alg_id::RSA_PKCS1_SHA384),
        (TestName::Rsa8192Sha512, alg_id::RSA_PKCS1_SHA512),
    ];
    let counts = sets.map(|(name, signature)| {
        let (algorithm, mut count) = (algorithm(alg_id::RSA_ENCRYPTION, signature), Count::default());
        for group in TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let right = algorithm.verify_signature(&group.asn_key, &test.msg, &test.sig).is_ok();
                count.add("RSA PKCS#1", test.tc_id, test.result, right);
            }
        }
        (count.valid, count.invalid)
    });
    assert_eq!(counts, [(9, 249), (7, 250), (8, 250), (8, 250), (7, 251), (7, 251)]);
}

#[test]
fn rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let sets = [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, alg_id::RSA_PSS_SHA384),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, alg_id::RSA_PSS_SHA384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, alg_id::RSA_PSS_SHA512),
    ];
    let counts = sets.map(|(name, signature)| {
        let (algorithm, mut count) = (algorithm(alg_id::RSA_ENCRYPTION, signature), Count::default());
        for group in TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let right = algorithm.verify_signature(&group.asn_key, &test.msg, &test.sig).is_ok();
                count.add("RSA PSS", test.tc_id, test.result, right);
            }
        }
        (count.valid, count.invalid)
    });
    assert_eq!(counts, [(63, 45), (95, 46), (63, 45), (63, 45), (95, 46), (132, 47)]);
}
