//! Matrices that may lie in parts.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData, s};
use ragtune_kernels::product::times_turned;
use ragtune_kernels::{Packed, select};

use crate::linear::linear;

/// A matrix [rows, width].
pub(crate) enum Table {
    /// In one piece or, where it is larger than what a device binds at once, in parts of some rows each.
    Parts(Vec<Tensor<2>>),
    /// In fewer bits than it is computed with.
    Packed(Packed),
}

/// Parts with the rows that each of them holds.
fn with_rows(parts: &[Tensor<2>]) -> impl Iterator<Item = (Range<usize>, &Tensor<2>)> {
    let mut end = 0;
    parts.iter().map(move |part| {
        let first = end;
        end += part.dims()[0];
        (first..end, part)
    })
}

fn rows_of(part: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    select(part, &ids.iter().copied().map(Some).collect::<Vec<_>>())
}

impl Table {
    /// Parts in the order of their rows; there is at least one.
    pub(crate) fn new(parts: Vec<Tensor<2>>) -> Self {
        Self::Parts(parts)
    }

    /// The rows of texts' tokens behind each other, each text filled up to `length`, [texts x length, width].
    pub(crate) fn of_texts(&self, texts: &[&[u32]], length: usize) -> Tensor<2> {
        if let Self::Parts(parts) = self
            && let [only] = &parts[..]
        {
            let filled = |text: &&[u32]| {
                text.iter().copied().map(Some).chain(std::iter::repeat(None)).take(length).collect::<Vec<_>>()
            };
            return select(only.clone(), &texts.iter().flat_map(filled).collect::<Vec<_>>());
        }
        self.select(&crate::padded(texts, length))
    }

    /// Some rows, [ids, width], repeats allowed.
    pub(crate) fn select(&self, ids: &[u32]) -> Tensor<2> {
        let parts = match self {
            Self::Packed(packed) => return packed.select(ids),
            Self::Parts(parts) => parts,
        };
        if let [only] = &parts[..] {
            return rows_of(only.clone(), ids);
        }
        // Rows part by part, then put into order.
        let mut found = Vec::new();
        let mut place = vec![0u32; ids.len()];
        let mut count = 0;
        for (rows, part) in with_rows(parts) {
            let mut own = Vec::new();
            for (at, &id) in ids.iter().enumerate().filter(|(_, id)| rows.contains(&(**id as usize))) {
                place[at] = count;
                count += 1;
                own.push(id - rows.start as u32);
            }
            if !own.is_empty() {
                found.push(rows_of(part.clone(), &own));
            }
        }
        match found.is_empty() {
            true => parts[0].clone().slice(s![0..0, ..]),
            false => rows_of(Tensor::cat(found, 0), &place),
        }
    }

    /// The rows of ascending ids, in the parts in which they lie.
    pub(crate) fn ascending(&self, ids: &[u32]) -> Vec<Tensor<2>> {
        let parts = match self {
            Self::Packed(packed) => return vec![packed.select(ids)],
            Self::Parts(parts) => parts,
        };
        let mut found = Vec::new();
        for (rows, part) in with_rows(parts) {
            let first = ids.partition_point(|&id| (id as usize) < rows.start);
            let last = ids.partition_point(|&id| (id as usize) < rows.end);
            let own: Vec<u32> = ids[first..last].iter().map(|id| id - rows.start as u32).collect();
            let (Some(&low), Some(&high)) = (own.first(), own.last()) else { continue };
            found.push(if (high - low) as usize + 1 == own.len() {
                part.clone().slice(s![low as usize..high as usize + 1, ..])
            } else {
                rows_of(part.clone(), &own)
            });
        }
        found
    }

    /// x Wᵀ for `x` [n, width]: [n, rows].
    pub(crate) fn times_turned(&self, x: Tensor<2>) -> Tensor<2> {
        let parts = match self {
            Self::Packed(packed) => return packed.times_turned(x),
            Self::Parts(parts) => parts,
        };
        let mut products: Vec<_> = parts.iter().map(|part| times_turned(x.clone(), part.clone())).collect();
        if products.len() == 1 { products.remove(0) } else { Tensor::cat(products, 1) }
    }

    /// x Wᵀ + b for `x` [batch, length, width], `bias` [rows]: [batch, length, rows].
    pub(crate) fn linear(&self, x: Tensor<3>, bias: Option<Tensor<1>>) -> Tensor<3> {
        let parts = match self {
            Self::Packed(packed) => {
                let ([batch, length, width], [rows, _]) = (x.dims(), packed.shape());
                let product = packed.times_turned(x.reshape([batch * length, width])).reshape([batch, length, rows]);
                return match bias {
                    Some(bias) => product + bias.reshape([1, 1, rows]),
                    None => product,
                };
            }
            Self::Parts(parts) => parts,
        };
        if let [only] = &parts[..] {
            return linear(x, only.clone(), bias);
        }
        let product = |(rows, part): (Range<usize>, &Tensor<2>)| {
            linear(x.clone(), part.clone(), bias.clone().map(|bias| bias.slice([rows])))
        };
        Tensor::cat(with_rows(parts).map(product).collect(), 2)
    }

    /// Row-major values cut into parts of at most `bytes` bytes; one where they fit.
    pub(crate) fn cut(values: Vec<f32>, width: usize, bytes: Option<u64>) -> Vec<TensorData> {
        // A matrix without rows may claim any width.
        let row = 4u64.saturating_mul(width as u64);
        let most = bytes.map_or(usize::MAX, |bytes| (bytes / row.max(1)).max(1) as usize);
        let rows = values.len() / width.max(1);
        if rows <= most {
            return vec![TensorData::new(values, [rows, width])];
        }
        // Of about equal size, so that the same kernels serve all.
        let each = rows.div_ceil(rows.div_ceil(most));
        values.chunks(each * width).map(|part| TensorData::new(part.to_vec(), [part.len() / width, width])).collect()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use ragtune_kernels::to_vec;

    use super::*;

    fn tables() -> (Table, Table) {
        let values: Vec<f32> = (0..10 * 3).map(|i| (i * 37 % 101) as f32).collect();
        let of = |bytes| {
            let parts = Table::cut(values.clone(), 3, bytes);
            Table::new(parts.into_iter().map(|part| Tensor::from_data(part, &Device::flex())).collect())
        };
        (of(None), of(Some(50)))
    }

    #[test]
    fn parts_are_no_larger_than_asked() {
        let (whole, cut) = tables();
        let rows = |table: &Table| match table {
            Table::Parts(parts) => parts.iter().map(|part| part.dims()[0]).collect::<Vec<_>>(),
            Table::Packed(_) => Vec::new(),
        };
        assert_eq!((rows(&whole), rows(&cut)), (vec![10], vec![4, 4, 2]));
        // A row is never cut.
        assert_eq!(Table::cut(vec![0.0; 6], 3, Some(1)).len(), 2);
        assert_eq!(Table::cut(Vec::new(), 3, Some(1)).len(), 1);
        assert_eq!(Table::cut(Vec::new(), usize::MAX / 2, Some(1)).len(), 1);
    }

    #[test]
    fn parts_give_what_the_whole_gives() {
        let (whole, cut) = tables();
        for ids in [vec![], vec![9], vec![3, 9, 0, 4, 4, 8], vec![5, 6]] {
            assert_eq!(to_vec(cut.select(&ids)), to_vec(whole.select(&ids)), "{ids:?}");
        }
        for ids in [vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9], vec![1, 3, 8, 9], vec![4, 5]] {
            let together = |table: &Table| to_vec(Tensor::cat(table.ascending(&ids), 0));
            assert_eq!(together(&cut), together(&whole), "{ids:?}");
        }
        let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5], [0.25, 3.0, 1.0]], &Device::flex());
        assert_eq!(to_vec(cut.times_turned(x.clone())), to_vec(whole.times_turned(x.clone())));
        let bias = Tensor::<1>::from_data(TensorData::new((0..10).map(|i| i as f32).collect(), [10]), &Device::flex());
        let x = x.reshape([1, 2, 3]);
        for bias in [None, Some(bias)] {
            assert_eq!(to_vec(cut.linear(x.clone(), bias.clone())), to_vec(whole.linear(x.clone(), bias)));
        }
    }
}
