//! Mixing and drawing: where endpoints stand on a ring, which key goes where, who wins a lot.
//!
//! Nothing here is a source of randomness: the caller passes one number in with each request, and a short sequence
//! is made of it. The mixing functions are part of what gateways of one installation agree on: they must never
//! change, or keys would move with an upgrade. A test holds them to their values.

/// An endpoint's identity, from its name: its address, or whatever names it in all gateways and after a restart.
///
/// It decides where the endpoint stands on a hash ring and in a Maglev table, and can be kept in a cookie.
#[must_use]
pub fn identity(name: &str) -> u64 {
    // FNV-1a, finished by a mixer since its high bits are weak for short names.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

/// Spreads every bit of `value` over all bits of the result, one to one: the finaliser of SplitMix64 (Steele, Lea,
/// Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
#[inline]
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The number that follows `nth` others in the sequence of `seed`.
#[inline]
pub(crate) const fn nth(seed: u64, nth: u64) -> u64 {
    mix(seed.wrapping_add(nth.wrapping_mul(STEP)))
}

/// 2⁶⁴ divided by the golden ratio, as in SplitMix64: multiples of it are far from each other.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is drawn for one request: SplitMix64, from the number that the caller passed in.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    #[inline]
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number in `0.0..1.0`.
    #[inline]
    pub(crate) fn unit(&mut self) -> f32 {
        unit(self.next())
    }
}

/// `bits` as a number in `0.0..1.0`: the upper 24, as many as an `f32` holds.
#[inline]
pub(crate) fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1_u64 << 24) as f32
}

/// `bits` as an index in `0..count`: the upper 32, scaled (Lemire: "Fast Random Integer Generation in an Interval").
#[inline]
pub(crate) const fn below(bits: u64, count: usize) -> usize {
    (((bits >> 32) as u128 * count as u128) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_same_in_every_version_of_the_program() {
        assert_eq!(identity(""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(identity("10.0.0.1:8080"), 0xe6be_330c_3d44_a2e2);
    }

    #[test]
    fn indices_and_units_stay_within_their_bounds() {
        for bits in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(below(bits, 7) < 7);
            assert!((0.0..1.0).contains(&unit(bits)));
        }
        assert_eq!(below(u64::MAX, 1), 0);
    }
}
