//! Known answers, on the processor that the guest has: ciphers, their hash, and the generator of random octets. What is not as it must
//! be ends the guest with an error.
//!
//! Of each cipher a published vector, and the digest of what it makes of texts of each length below `LENGTHS`, which pass by all ends
//! of blocks; those digests were computed with OpenSSL.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use fata::prelude::*;
use fata_aead::{Aead, Aes128Gcm, Aes256Gcm, ChaCha20Poly1305, NONCE_LEN, TAG_LEN};
use sha2::{Digest, Sha256};

fata::main!(main);

const LENGTHS: usize = 700;

/// A published vector, hexadecimal.
struct Vector {
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    text: &'static str,
    /// And its tag.
    sealed: &'static str,
}

/// Test case 4 of "The Galois/Counter Mode of Operation" (McGrew and Viega).
const AES_128: Vector = Vector {
    key: "feffe9928665731c6d6a8f9467308308",
    nonce: "cafebabefacedbaddecaf888",
    aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    text: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
           b16aedf5aa0de657ba637b39",
    sealed: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05\
             1ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
};

/// Test case 16.
const AES_256: Vector = Vector {
    key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
    sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
             c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    ..AES_128
};

/// RFC 8439, section 2.8.2.
const CHACHA: Vector = Vector {
    key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    nonce: "070000004041424344454647",
    aad: "50515253c0c1c2c3c4c5c6c7",
    text: "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f\
           756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e7363\
           7265656e20776f756c642062652069742e",
    sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
             1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
             3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
};

/// FIPS 180-4's examples.
const HASHES: [(&[u8], &str); 2] = [
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
];

const OF_AES_128: &str = "519631ebc4bab96756f8c7987d12b2565022fe11178034ee7d0c498a4a33f8a3";
const OF_AES_256: &str = "550eb11b925436ef0978205977bc1cb4ea8440e6fe8bc884e824818b7729e225";
const OF_CHACHA: &str = "9c1f17d84a63f8918d52eb2c56841442384046ea004774979a807d7608785f25";

async fn main(env: Env) -> Result<()> {
    for (text, digest) in HASHES {
        same("SHA-256", &Sha256::digest(text), digest)?;
    }
    println!(env, "SHA-256 good");
    cipher::<Aes128Gcm>(&env, "AES-128-GCM", &AES_128, OF_AES_128)?;
    cipher::<Aes256Gcm>(&env, "AES-256-GCM", &AES_256, OF_AES_256)?;
    cipher::<ChaCha20Poly1305>(&env, "ChaCha20-Poly1305", &CHACHA, OF_CHACHA)?;
    if !fata::entropy::gives_known_answer() {
        return Err("the generator does not give what it must".into());
    }
    println!(env, "generator good");
    Ok(())
}

fn cipher<A: Aead>(env: &Env, name: &str, vector: &Vector, of_lengths: &str) -> Result<()> {
    let nonce = octets(vector.nonce);
    let nonce = nonce.first_chunk().ok_or("a nonce is too short")?;
    let aad = octets(vector.aad);
    let key = A::new(&octets(vector.key)).ok_or("a key of another length")?;
    let mut data = octets(vector.text);
    let tag = key.seal(nonce, &aad, &mut data).ok_or("a text that is too long")?;
    data.extend(tag);
    same(name, &data, vector.sealed)?;
    if let Some(last) = data.last_mut() {
        *last ^= 1;
    }
    if key.open(nonce, &aad, &mut data).is_some() {
        return Err(alloc::format!("{name}: a wrong tag opens").into());
    }
    if let Some(last) = data.last_mut() {
        *last ^= 1;
    }
    let length = key.open(nonce, &aad, &mut data).ok_or("what was sealed does not open")?;
    same(name, &data[..length], vector.text)?;
    same(name, &digest_of_lengths::<A>()?, of_lengths)?;
    println!(env, "{name} good");
    Ok(())
}

/// The digest of texts of each length, with as much beside them as the length modulo 40, sealed by a key that counts from zero.
fn digest_of_lengths<A: Aead>() -> Result<Vec<u8>> {
    let key: Vec<u8> = (0..A::KEY_LEN as u8).collect();
    let key = A::new(&key).ok_or("a key of another length")?;
    let text: Vec<u8> = (0..LENGTHS).map(|n| (7 * n + 3) as u8).collect();
    let mut digest = Sha256::new();
    for length in 0..LENGTHS {
        let mut data = text[..length].to_vec();
        let aad = &text[..length % 40];
        let tag: [u8; TAG_LEN] =
            key.seal(&[2; NONCE_LEN], aad, &mut data).ok_or("a text that is too long")?;
        digest.update(&data);
        digest.update(tag);
        data.extend(tag);
        if key.open(&[2; NONCE_LEN], aad, &mut data) != Some(length) || data[..length] != text[..length] {
            return Err(alloc::format!("{length} octets do not open").into());
        }
    }
    Ok(digest.finalize().to_vec())
}

fn same(name: &str, given: &[u8], wanted: &str) -> Result<()> {
    if given == octets(wanted) { Ok(()) } else { Err(alloc::format!("{name}: not {wanted}").into()) }
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
