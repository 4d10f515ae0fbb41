//! What a token may not look at.

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// What new tokens may not look at.
pub(super) struct Masks<'a> {
    pub(super) texts: &'a [&'a [u32]],
    /// Per text, which of the columns before hold a token.
    pub(super) past: Option<&'a [Vec<bool>]>,
    pub(super) starts: &'a [usize],
    pub(super) length: usize,
    pub(super) device: &'a Device,
}

impl Masks<'_> {
    /// True where a new token may not look: padding among what came before, later tokens, and those further back than
    /// the window. [batch, heads, new, past + new]; none where looking back is all that is asked for.
    pub(super) fn draw(&self, window: Option<usize>, heads: usize) -> Option<Tensor<4, Bool>> {
        let tokens = self.starts.iter().zip(self.texts).map(|(start, text)| start + text.len()).max().unwrap_or(0);
        let window = window.filter(|&window| window < tokens);
        if self.past.is_none() && window.is_none() {
            return None;
        }
        let (batch, length) = (self.texts.len(), self.length);
        let columns = self.past.and_then(|past| past.first()).map_or(0, Vec::len) + length;
        let mut mask = Vec::with_capacity(batch * length * columns);
        for b in 0..batch {
            // The position of what stands in each column; padding has none.
            let mut seen = 0;
            let mut before: Vec<Option<usize>> = Vec::with_capacity(columns);
            for &valid in self.past.map_or(&[][..], |past| &past[b][..]) {
                before.push(valid.then_some(seen));
                seen += usize::from(valid);
            }
            before.extend((0..length).map(|l| Some(self.starts[b] + l)));
            for l in 0..length {
                let own = self.starts[b] + l;
                mask.extend(before.iter().map(|position| {
                    position.is_none_or(|at| at > own || window.is_some_and(|window| own - at >= window))
                }));
            }
        }
        let mask = Tensor::<4, Bool>::from_data(TensorData::new(mask, [batch, 1, length, columns]), self.device);
        Some(mask.expand([batch, heads, length, columns]))
    }
}
