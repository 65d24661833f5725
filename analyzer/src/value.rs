//! Stand-in.
#![allow(missing_docs)]
use crate::record::TextKey;
#[derive(Clone, Copy, Debug, Default)]
pub struct Salt;
impl Salt {
    pub fn new(_high: u64, _low: u64) -> Self {
        Self
    }
}
/// Identity of a raw text.
pub fn text_key(raw: &[u8]) -> TextKey {
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    TextKey(raw.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
