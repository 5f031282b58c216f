//! IMA ADPCM as Baichuan packs it, section 8.4: a block is the decoder's state, then 4-bit codes.

/// Bytes of state before the codes of a block.
const STATE_LEN: usize = 4;

const STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66,
    73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449,
    494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272,
    2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493,
    10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
];

/// Which half of a byte is the earlier sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NibbleOrder {
    /// As cameras send.
    #[default]
    HighFirst,
    /// As some clients talk.
    LowFirst,
}

/// The state of decoder and encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdpcmState {
    /// The last sample.
    pub predictor: i16,
    /// Into the table of steps, 0 to 88.
    pub index: u8,
}

impl AdpcmState {
    fn step(self) -> i32 {
        STEPS.get(usize::from(self.index)).copied().unwrap_or(32767)
    }

    /// Decodes one code.
    fn apply(&mut self, code: u8) -> i16 {
        let step = self.step();
        let mut diff = step >> 3;
        for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            if code & bit != 0 {
                diff += part;
            }
        }
        let sign = if code & 8 != 0 { -1 } else { 1 };
        let sum = i32::from(self.predictor) + sign * diff;
        let bound = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX));
        self.predictor = i16::try_from(bound).unwrap_or_default();
        let delta: i16 = match code & 7 {
            magnitude @ 4..=7 => i16::from(magnitude) * 2 - 6,
            _ => -1,
        };
        let index = (i16::from(self.index) + delta).clamp(0, 88);
        self.index = u8::try_from(index).unwrap_or_default();
        self.predictor
    }

    /// The code whose decoding comes nearest to `sample`.
    fn choose(self, sample: i16) -> u8 {
        let mut diff = i32::from(sample) - i32::from(self.predictor);
        let mut code = 0;
        if diff < 0 {
            code = 8;
            diff = -diff;
        }
        let mut step = self.step();
        for bit in [4, 2, 1] {
            if diff >= step {
                code |= bit;
                diff -= step;
            }
            step >>= 1;
        }
        code
    }

    /// Decodes a block. None: it is too short to hold a state, or its state is impossible.
    #[must_use]
    pub fn decode(block: &[u8], order: NibbleOrder) -> Option<(Vec<i16>, Self)> {
        let (&[low, high, index, _], codes) = block.split_first_chunk::<STATE_LEN>()?;
        if index > 88 {
            return None;
        }
        let mut state = Self {
            predictor: i16::from_le_bytes([low, high]),
            index,
        };
        let mut samples = Vec::with_capacity(codes.len() * 2);
        for &byte in codes {
            let (first, second) = match order {
                NibbleOrder::HighFirst => (byte >> 4, byte & 15),
                NibbleOrder::LowFirst => (byte & 15, byte >> 4),
            };
            samples.push(state.apply(first));
            samples.push(state.apply(second));
        }
        Some((samples, state))
    }

    /// Encodes samples as one block and moves on; an odd one at the end is doubled.
    pub fn encode(&mut self, samples: &[i16], order: NibbleOrder) -> Vec<u8> {
        let [low, high] = self.predictor.to_le_bytes();
        let mut block = vec![low, high, self.index, 0];
        for pair in samples.chunks(2) {
            let mut code = |at: usize| {
                let sample = pair.get(at).or(pair.first()).copied().unwrap_or_default();
                let code = self.choose(sample);
                self.apply(code);
                code
            };
            let (first, second) = (code(0), code(1));
            block.push(match order {
                NibbleOrder::HighFirst => first << 4 | second,
                NibbleOrder::LowFirst => second << 4 | first,
            });
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::unhex;

    const SAMPLES: [i16; 16] = [
        0, 100, 200, 300, 400, 300, 200, 100, 0, -100, -200, -300, -400, -300, -200, -100,
    ];
    const DECODED: [i16; 16] = [
        0, 11, 41, 104, 240, 298, 210, 97, -5, -97, -206, -308, -400, -291, -189, -97,
    ];

    #[test]
    fn the_block_of_the_vectors_is_decoded_and_made() {
        let block = unhex("00000000077771abbbcbb433");
        let (samples, end) = AdpcmState::decode(&block, NibbleOrder::HighFirst).unwrap();
        assert_eq!(samples, DECODED);
        assert_eq!((end.predictor, end.index), (-97, 27));
        let mut state = AdpcmState::default();
        assert_eq!(state.encode(&SAMPLES, NibbleOrder::HighFirst), block);
        assert_eq!(state, end);
    }

    #[test]
    fn impossible_blocks_are_refused() {
        assert_eq!(AdpcmState::decode(&[0; 3], NibbleOrder::HighFirst), None);
        assert_eq!(
            AdpcmState::decode(&[0, 0, 89, 0], NibbleOrder::LowFirst),
            None
        );
    }

    proptest! {
        #[test]
        fn a_block_ends_where_the_next_begins(samples: Vec<i16>, low_first: bool) {
            let order = if low_first { NibbleOrder::LowFirst } else { NibbleOrder::HighFirst };
            let mut state = AdpcmState::default();
            let block = state.encode(&samples, order);
            let (decoded, end) = AdpcmState::decode(&block, order).unwrap();
            prop_assert_eq!(end, state);
            prop_assert_eq!(decoded.len(), samples.len().next_multiple_of(2));
        }
    }
}
