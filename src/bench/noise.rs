//! Bodies that are unlike each other, and compress to half: half of each byte is by chance.

/// Gives bytes by chance, the same ones for the same turns.
#[derive(Debug, Default)]
pub(crate) struct Noise(u64);

impl Noise {
    /// Goes elsewhere, as this number says.
    pub(crate) fn turn(&mut self, by: u64) {
        self.0 = self.0.wrapping_add(by);
    }

    /// Fills it with letters, 16 of them.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        let mut words = out.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.letters());
        }
        let rest = words.into_remainder();
        let letters = self.letters();
        rest.copy_from_slice(&letters[..rest.len()]);
    }

    fn letters(&mut self) -> [u8; 8] {
        ((self.next() & 0x0f0f_0f0f_0f0f_0f0f) + u64::from_ne_bytes([b'a'; 8])).to_ne_bytes()
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_the_same_and_always_letters() {
        let (mut noise, mut one, mut other) = (Noise::default(), [0; 29], [0; 29]);
        noise.turn(7);
        noise.fill(&mut one);
        noise.fill(&mut other);
        assert_ne!(one, other);
        assert!(one.iter().all(|byte| (b'a'..=b'p').contains(byte)), "{one:?}");
    }
}
