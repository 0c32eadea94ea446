//! One hash for `bucket` and `sticky`, written down because it may never change: a canary that is at 5 % today, and a
//! cache that a key finds at its worker, have to stay where they are on every machine and in every version.

/// FNV-1a with 64 bits, then the finalizer of MurmurHash3: FNV alone leaves its low bits poor.
#[derive(Clone, Copy)]
pub struct Stable(u64);

impl Stable {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    #[inline]
    pub fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    #[inline]
    pub fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        // FNV-1a of these two is in its specification; the finalizer maps 0 to 0.
        assert_eq!(Stable::new().0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(Stable::new().with(b"foobar").0, 0x8594_4171_f739_67e8);
        assert_eq!(Stable(0).finish(), 0);
        assert_eq!(Stable::new().with(b"foobar").finish(), 0x2c22_1949_22d1_672b);
    }

    #[test]
    fn parts_hash_like_the_whole() {
        assert_eq!(
            Stable::new().with(b"foo").with(b"bar").finish(),
            Stable::new().with(b"foobar").finish()
        );
    }
}
