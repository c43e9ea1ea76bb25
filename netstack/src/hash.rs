//! SipHash-1-3 with a key from the generator: a remote that does not know the key cannot make entries collide.

use core::hash::{BuildHasher, Hasher};
use fata_libos::entropy;

/// The key of one table.
#[derive(Clone)]
pub(crate) struct Key(u64, u64);

impl Key {
    pub(crate) fn random() -> Self {
        Self(entropy::u64(), entropy::u64())
    }
}

#[cfg(test)]
impl Key {
    pub(crate) fn fixed() -> Self {
        Self::of(1)
    }

    pub(crate) fn of(secret: u64) -> Self {
        Self(secret, 2)
    }
}

impl BuildHasher for Key {
    type Hasher = Sip;
    fn build_hasher(&self) -> Sip {
        Sip([
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ])
    }
}

/// The state: takes whole words, which is all that the keys here are made of.
pub(crate) struct Sip([u64; 4]);

impl Sip {
    fn round(&mut self) {
        let [v0, v1, v2, v3] = &mut self.0;
        *v0 = v0.wrapping_add(*v1);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v3);
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.wrapping_add(*v3);
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.wrapping_add(*v1);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v2 = v2.rotate_left(32);
    }
}

impl Hasher for Sip {
    fn write_u64(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn finish(&self) -> u64 {
        let mut end = Sip(self.0);
        end.0[2] ^= 0xff;
        end.round();
        end.round();
        end.round();
        end.0[0] ^ end.0[1] ^ end.0[2] ^ end.0[3]
    }
}
