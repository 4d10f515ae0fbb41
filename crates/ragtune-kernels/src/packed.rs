//! Matrices that stay in memory as their files hold them, and are expanded where they are used.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::blocks::Format;
use crate::lanes::dot;
use crate::product::times_turned;
use crate::shader::{self, Rows};
use crate::wide::wide;
use crate::{binding_bytes, from_vec, is_cpu, limits, to_vec};

/// Up to so many rows meet a matrix row by row as it is expanded; more are worth a product.
const FEW: usize = 8;
/// Rows of the matrix that one thread takes at once.
const STRIP: usize = 16;
/// Numbers that are expanded at once for a product: 4 MiB.
const SLAB: usize = 1 << 20;
/// The same on a device: 64 MiB, half of WebGPU's smallest binding.
const DEVICE_SLAB: usize = 1 << 24;

/// A matrix [rows, columns] of fewer bits than 32. Copies share it.
#[derive(Debug, Clone)]
pub struct Packed {
    format: Format,
    rows: usize,
    columns: usize,
    store: Store,
}

#[derive(Debug, Clone)]
enum Store {
    /// In plain memory, for the CPU.
    Memory(Arc<Vec<u8>>),
    /// The same bytes on a device that runs the shaders, four in a word.
    Device(Box<Tensor<1, Int>>),
}

impl Packed {
    /// A matrix in plain memory of this shape, row after row; none when there is no row, when a row is no whole number
    /// of blocks, or when the bytes are not as many as it needs.
    pub fn new(format: Format, [rows, columns]: [usize; 2], data: Vec<u8>) -> Option<Self> {
        let bytes = format.bytes(columns)?.checked_mul(rows)?;
        (rows > 0 && bytes == data.len()).then(|| Self { format, rows, columns, store: Store::Memory(Arc::new(data)) })
    }

    /// The matrix on a device; none where the device does not take its format, or not so many bytes at once.
    pub fn on_device(&self, device: &Device) -> Option<Self> {
        let Store::Memory(data) = &self.store else { return None };
        if is_cpu(device) {
            return Some(self.clone());
        }
        if !shader::runs(device) {
            return None;
        }
        self.format.in_shaders()?;
        let most = binding_bytes(device).or_else(|| limits(device).map(|limits| limits.buffer_bytes));
        if most.is_some_and(|most| data.len() as u64 + 4 > most) {
            return None;
        }
        let mut words: Vec<i32> = data.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
        let rest = data.as_chunks::<4>().1;
        if !rest.is_empty() {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            words.push(i32::from_le_bytes(last));
        }
        let count = words.len();
        let words = Tensor::from_data(TensorData::new(words, [count]), device);
        Some(Self { store: Store::Device(Box::new(words)), ..*self })
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        match &self.store {
            Store::Memory(_) => Device::flex(),
            Store::Device(words) => words.device(),
        }
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// How its numbers are held.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.rows * self.row_bytes()
    }

    /// All numbers, row after row.
    pub fn values(&self) -> Vec<f32> {
        match &self.store {
            Store::Memory(_) => self.expanded(0..self.rows),
            Store::Device(_) => self.slabs().flat_map(to_vec).collect(),
        }
    }

    /// The first number that is not finite, by row and column, of a matrix in plain memory.
    pub fn not_finite(&self) -> Option<(usize, usize, f32)> {
        let bad = |row: usize, values: &mut Vec<f32>| {
            self.format.expand(self.row(row), values);
            values.iter().position(|x| !x.is_finite()).map(|column| (row, column, values[column]))
        };
        (0..self.rows)
            .into_par_iter()
            .map_init(|| vec![0.0; self.columns], |values, row| bad(row, values))
            .find_first(Option::is_some)?
    }

    /// The matrix of some rows, in the order given, of one in plain memory.
    pub fn rows(&self, rows: impl Iterator<Item = usize>) -> Self {
        let mut data = Vec::new();
        let mut count = 0;
        for row in rows {
            data.extend_from_slice(self.row(row));
            count += 1;
        }
        Self { rows: count, store: Store::Memory(Arc::new(data)), ..*self }
    }

    /// The numbers of some rows, repeats allowed: [ids, columns].
    pub fn select(&self, ids: &[u32]) -> Tensor<2> {
        match &self.store {
            Store::Memory(_) => {
                let mut values = vec![0.0; ids.len() * self.columns];
                for (&id, to) in ids.iter().zip(values.chunks_exact_mut(self.columns.max(1))) {
                    self.format.expand(self.row(id as usize), to);
                }
                from_vec(values, [ids.len(), self.columns], &Device::flex())
            }
            Store::Device(words) if ids.is_empty() => Tensor::zeros([0, self.columns], &words.device()),
            Store::Device(words) => self.on(words, Rows::Ids(ids)),
        }
    }

    /// x Wᵀ for `x` [n, columns] where the matrix is: [n, rows].
    pub fn times_turned(&self, x: Tensor<2>) -> Tensor<2> {
        let ([n, _], device) = (x.dims(), x.device());
        if matches!(self.store, Store::Memory(_)) && n <= FEW {
            return from_vec(self.dots(&to_vec(x), n), [n, self.rows], &device);
        }
        let mut products: Vec<_> = self.slabs().map(|slab| times_turned(x.clone(), slab)).collect();
        if products.len() == 1 { products.remove(0) } else { Tensor::cat(products, 1) }
    }

    /// The matrix as floats, some rows at a time, in their order.
    pub fn slabs(&self) -> impl Iterator<Item = Tensor<2>> {
        let numbers = if matches!(self.store, Store::Memory(_)) { SLAB } else { DEVICE_SLAB };
        let step = (numbers / self.columns.max(1)).max(1);
        (0..self.rows).step_by(step).map(move |first| {
            let rows = first..(first + step).min(self.rows);
            match &self.store {
                Store::Memory(_) => from_vec(self.expanded(rows.clone()), [rows.len(), self.columns], &Device::flex()),
                Store::Device(words) => self.on(words, Rows::Range(rows)),
            }
        })
    }

    fn on(&self, words: &Tensor<1, Int>, rows: Rows<'_>) -> Tensor<2> {
        let format = self.format.in_shaders().unwrap_or_default();
        shader::expand(words, format, self.columns, self.row_bytes(), rows)
    }

    fn row_bytes(&self) -> usize {
        self.format.bytes(self.columns).unwrap_or(0)
    }

    fn row(&self, row: usize) -> &[u8] {
        let Store::Memory(data) = &self.store else { return &[] };
        let bytes = self.row_bytes();
        &data[row * bytes..][..bytes]
    }

    fn expanded(&self, rows: Range<usize>) -> Vec<f32> {
        let mut values = vec![0.0; rows.len() * self.columns];
        values
            .par_chunks_mut(self.columns.max(1))
            .zip(rows)
            .for_each(|(to, row)| self.format.expand(self.row(row), to));
        values
    }

    /// Inner products of all rows with each of `n`, [n, rows].
    fn dots(&self, x: &[f32], n: usize) -> Vec<f32> {
        let mut by_row = vec![0.0f32; self.rows * n];
        by_row.par_chunks_mut((STRIP * n).max(1)).enumerate().for_each_init(
            || vec![0.0; self.columns],
            |values, (strip, out)| {
                for (at, out) in out.chunks_exact_mut(n).enumerate() {
                    self.format.expand(self.row(strip * STRIP + at), values);
                    wide(|| {
                        out.iter_mut().zip(x.chunks_exact(self.columns)).for_each(|(out, x)| *out = dot(values, x))
                    });
                }
            },
        );
        if n == 1 {
            return by_row;
        }
        (0..n).flat_map(|i| by_row.iter().skip(i).step_by(n)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// A matrix in 16 bits, and in blocks of 32 with 8 bits.
    fn matrices(rows: usize, columns: usize) -> [Packed; 2] {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(7);
        let mut half = || half::f16::from_f32(rng.random_range(-1.0f32..1.0)).to_le_bytes();
        let halves = (0..rows * columns).flat_map(|_| half()).collect();
        // A scale, and 32 numbers of 8 bits: 17 times two bytes.
        let blocks = (0..rows * columns / 32 * 17).flat_map(|_| half()).collect();
        [(Format::F16, halves), (Format::Q8_0, blocks)]
            .map(|(format, data)| Packed::new(format, [rows, columns], data).unwrap())
    }

    #[test]
    fn products_are_those_of_the_expanded_matrix() {
        let device = Device::flex();
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(8);
        for (rows, columns) in [(1, 32), (STRIP + 3, 96), (SLAB / 256 + 5, 256)] {
            for matrix in matrices(rows, columns) {
                let whole = from_vec(matrix.values(), matrix.shape(), &device);
                for n in [1, 3, FEW, FEW + 1, 30] {
                    let x: Vec<f32> = (0..n * columns).map(|_| rng.random_range(-1.0f32..1.0)).collect();
                    let x: Tensor<2> = from_vec(x, [n, columns], &device);
                    let found = matrix.times_turned(x.clone());
                    assert_eq!(found.dims(), [n, rows]);
                    let wanted = to_vec(x.matmul(whole.clone().transpose()));
                    let size = wanted.iter().fold(1.0f32, |most, x| most.max(x.abs()));
                    for (found, wanted) in to_vec(found).iter().zip(&wanted) {
                        assert!((found - wanted).abs() <= 1e-5 * size, "{n} x {columns} x {rows}: {found} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_taken_out_and_chosen() {
        for matrix in matrices(5, 64) {
            let values = matrix.values();
            let row = |i: usize| &values[i * 64..(i + 1) * 64];
            let some = matrix.rows([4, 0].into_iter());
            assert_eq!((some.shape(), some.values()), ([2, 64], [row(4), row(0)].concat()));
            assert_eq!(to_vec(matrix.select(&[1, 1, 3])), [row(1), row(1), row(3)].concat());
        }
    }

    #[test]
    fn what_is_no_whole_matrix_is_none() {
        assert!(Packed::new(Format::Q8_0, [2, 40], vec![0; 85]).is_none());
        assert!(Packed::new(Format::F16, [2, 3], vec![0; 11]).is_none());
        assert!(Packed::new(Format::F16, [0, usize::MAX / 4], Vec::new()).is_none(), "no row, of any width");
        let mut data = vec![0; 12];
        data[7] = 0x7c;
        let matrix = Packed::new(Format::F16, [2, 3], data).unwrap();
        assert_eq!(matrix.not_finite(), Some((1, 0, f32::INFINITY)));
        assert_eq!(Packed::new(Format::F16, [2, 3], vec![0; 12]).unwrap().not_finite(), None);
    }
}
