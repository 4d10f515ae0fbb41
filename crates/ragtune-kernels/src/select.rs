//! Rows of a table by their numbers.

use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::shader;

/// Rows [places, width] of a table [rows, width], repeats allowed; with a gradient. A place without a row is padding: it is read as
/// row 0 and hands nothing back.
pub fn select(table: Tensor<2>, places: &[Option<u32>]) -> Tensor<2> {
    let (device, count) = (table.device(), places.len());
    if table.dtype() == DType::F32 && shader::runs(&device) && count > 0 {
        return shader::select::select(table, places.to_vec());
    }
    let ids: Vec<i32> = places.iter().map(|row| row.unwrap_or(0) as i32).collect();
    table.select(0, Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &device))
}

/// Which places show which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The rows that are shown anywhere, ascending; then for each where its places end in what follows: all places, those of a row
    /// ascending.
    pub(crate) lists: Vec<u32>,
    /// How many rows are shown.
    pub(crate) rows: usize,
}

impl Shown {
    pub(crate) fn of(places: &[Option<u32>]) -> Self {
        let mut all: Vec<(u32, u32)> =
            places.iter().enumerate().filter_map(|(place, row)| row.map(|row| (row, place as u32))).collect();
        all.sort_unstable();
        let of_rows: Vec<_> = all.chunk_by(|(one, _), (other, _)| one == other).collect();
        let rows = of_rows.iter().map(|places| places[0].0);
        let ends = of_rows.iter().scan(0, |end, places| {
            *end += places.len() as u32;
            Some(*end)
        });
        let lists = rows.chain(ends).chain(all.iter().map(|(_, place)| *place)).collect();
        Self { lists, rows: of_rows.len() }
    }
}

/// Twin of `select_back.wgsl`: the gradient of a table of `rows` rows from that of the selected ones.
pub fn select_back(gradient: &[f32], places: &[Option<u32>], rows: usize, width: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * width];
    for (gradient, row) in gradient.chunks_exact(width).zip(places) {
        if let Some(row) = *row {
            let out = &mut out[row as usize * width..][..width];
            out.iter_mut().zip(gradient).for_each(|(sum, d)| *sum += d);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_listed_by_the_rows_they_show() {
        let found = Shown::of(&[Some(7), None, Some(2), Some(7), Some(0)]);
        assert_eq!(found, Shown { lists: vec![0, 2, 7, 1, 2, 4, 4, 2, 0, 3], rows: 3 });
        assert_eq!(Shown::of(&[None]), Shown { lists: vec![], rows: 0 });
    }
}
