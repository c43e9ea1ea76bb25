//! SipHash-1-3 (Aumasson, Bernstein: SipHash, a fast short-input PRF), keyed once for the process.
//!
//! A client that does not know the key cannot choose keys that fall into one bucket.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

static KEY: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

static STATE: AtomicU8 = AtomicU8::new(UNSET);
const UNSET: u8 = 0;
const SETTING: u8 = 1;
const SET: u8 = 2;

/// Sets the key, the first time: what was hashed before is not found afterwards, so this comes before there is data.
pub fn set_key_once(key: impl FnOnce() -> [u64; 2]) {
    // A process may have several threads with data of their own.
    if STATE.compare_exchange(UNSET, SETTING, Ordering::Acquire, Ordering::Acquire).is_ok() {
        for (word, value) in KEY.iter().zip(key()) {
            word.store(value, Ordering::Relaxed);
        }
        STATE.store(SET, Ordering::Release);
    }
    while STATE.load(Ordering::Acquire) != SET {
        core::hint::spin_loop();
    }
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

/// The hash of octets with a key.
pub fn keyed(key: [u64; 2], octets: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = octets.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = octets.len() as u8;
    for word in words.iter().chain([&last]) {
        let word = u64::from_le_bytes(*word);
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// The hash of a key.
pub fn hash(octets: &[u8]) -> u32 {
    keyed([KEY[0].load(Ordering::Relaxed), KEY[1].load(Ordering::Relaxed)], octets) as u32
}

#[cfg(test)]
mod tests {
    /// `core`'s own is SipHash-1-3 too, with a key of zeroes.
    #[test]
    fn it_is_the_hash_of_the_standard_library() {
        use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
        #[allow(deprecated, reason = "the only one with a known key")]
        type Standard = std::collections::hash_map::DefaultHasher;
        for len in 0..40_u8 {
            let octets: std::vec::Vec<u8> = (0..len).collect();
            let mut hasher = BuildHasherDefault::<Standard>::default().build_hasher();
            hasher.write(&octets);
            assert_eq!(super::keyed([0, 0], &octets), hasher.finish(), "{len}");
        }
    }
}
