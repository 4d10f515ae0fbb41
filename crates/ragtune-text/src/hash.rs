//! A hash that never changes between versions and platforms, for ids and splits.

/// 64-bit FNV-1a with the finaliser of MurmurHash3, so that the low bits are mixed as well as the high ones.
pub fn hash64(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = Hash64::new(seed);
    hash.update(bytes);
    hash.finish()
}

/// [`hash64`] of bytes that come piece by piece.
#[derive(Debug, Clone)]
pub struct Hash64(u64);

impl Hash64 {
    /// Nothing so far.
    pub fn new(seed: u64) -> Self {
        Self(0xcbf2_9ce4_8422_2325_u64 ^ seed)
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash of all bytes so far.
    pub fn finish(&self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}
