//! Products of matrices.
//!
//! They are the device's own, unless the host says that loops over packed panels serve its processor better: in a browser
//! the library under burn reaches a quarter of what they do.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor};

use crate::lanes::{LANES, Lanes};
use crate::units::in_halves;
use crate::{from_vec, on_gpu, to_vec};

/// Rows and columns that one tile holds: its sums are eight of the sixteen registers that a browser's compiler has.
const ROWS: usize = 4;
const COLUMNS: usize = 8;
/// Inner products are cut into parts of this length, so that a panel stays in the first cache.
const DEPTH: usize = 512;
/// Columns that are packed at once: 2 MiB with [`DEPTH`].
const BREADTH: usize = 1024;
/// Below so many rows packing costs more than it saves.
const FEW: usize = 4;

/// a b, for `a` [m, k] and `b` [k, n]: [m, n].
pub fn times(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    if !pays(&a) {
        return a.matmul(b);
    }
    let ([m, k], [_, n]) = (a.dims(), b.dims());
    packed(a, View { row: k, column: 1 }, b, View { row: n, column: 1 }, [m, k, n])
}

/// a bᵀ, for `a` [m, k] and `b` [n, k]: [m, n].
pub fn times_turned(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let half = in_halves(&a.device());
    let on_units = if half { on_gpu::times_turned(&a, &b, None, true) } else { None };
    if let Some(product) = on_units.or_else(|| on_gpu::times_turned(&a, &b, None, false)) {
        return product;
    }
    if !pays(&a) {
        return a.matmul(b.transpose());
    }
    let ([m, k], [n, _]) = (a.dims(), b.dims());
    packed(a, View { row: k, column: 1 }, b, View { row: 1, column: k }, [m, k, n])
}

/// aᵀ b, for `a` [k, m] and `b` [k, n]: [m, n].
pub fn turned_times(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    if !pays(&a) {
        return a.transpose().matmul(b);
    }
    let ([k, m], [_, n]) = (a.dims(), b.dims());
    packed(a, View { row: 1, column: m }, b, View { row: n, column: 1 }, [m, k, n])
}

static PACKS: OnceLock<()> = OnceLock::new();

/// From now on the loops below serve the processor.
pub fn pack_on_the_cpu() {
    let _ = PACKS.set(());
}

/// Whether they serve tensors of this device: on the processor, without a tape.
pub fn packs(device: &Device) -> bool {
    PACKS.get().is_some() && *device == Device::flex()
}

fn pays(a: &Tensor<2>) -> bool {
    packs(&a.device()) && a.dims().iter().all(|size| *size >= FEW)
}

fn packed(a: Tensor<2>, a_view: View, b: Tensor<2>, b_view: View, sizes: [usize; 3]) -> Tensor<2> {
    let [m, _, n] = sizes;
    let device = a.device();
    from_vec(multiply(&to_vec(a), a_view, &to_vec(b), b_view, sizes), [m, n], &device)
}

/// How far apart neighbours lie in a slice.
#[derive(Clone, Copy)]
struct View {
    row: usize,
    column: usize,
}

/// a b row-major [m, n], for `a` [m, k] and `b` [k, n] as their views have it; sizes are m, k, n.
fn multiply(a: &[f32], a_view: View, b: &[f32], b_view: View, [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0f32; m * n];
    let (mut a_panels, mut b_panels) = (Vec::new(), Vec::new());
    for left in (0..n).step_by(BREADTH) {
        let breadth = BREADTH.min(n - left);
        for top in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - top);
            pack::<COLUMNS>(&b[top * b_view.row + left * b_view.column..], b_view, depth, breadth, &mut b_panels);
            let turned = View { row: a_view.column, column: a_view.row };
            pack::<ROWS>(&a[top * a_view.column..], turned, depth, m, &mut a_panels);
            for (j, b_panel) in b_panels.chunks_exact(depth * COLUMNS).enumerate() {
                let first = left + j * COLUMNS;
                let columns = COLUMNS.min(left + breadth - first);
                for (i, a_panel) in a_panels.chunks_exact(depth * ROWS).enumerate() {
                    let sums = tile(a_panel, b_panel);
                    for (row, sums) in sums.iter().enumerate().take(m - i * ROWS) {
                        let out = &mut out[(i * ROWS + row) * n + first..][..columns];
                        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    }
                }
            }
        }
    }
    out
}

/// Panels of `WIDTH` columns behind each other, each [depth, WIDTH]; zeros stand for columns behind the last one.
fn pack<const WIDTH: usize>(from: &[f32], view: View, depth: usize, columns: usize, to: &mut Vec<f32>) {
    to.clear();
    to.resize(columns.div_ceil(WIDTH) * WIDTH * depth, 0.0);
    for (panel, to) in to.chunks_exact_mut(WIDTH * depth).enumerate() {
        let first = panel * WIDTH;
        let width = WIDTH.min(columns - first);
        if view.column == 1 {
            for (row, to) in to.chunks_exact_mut(WIDTH).enumerate() {
                to[..width].copy_from_slice(&from[row * view.row + first..][..width]);
            }
        } else {
            for column in 0..width {
                let from = &from[(first + column) * view.column..];
                to[column..].iter_mut().step_by(WIDTH).zip(from.iter().step_by(view.row)).for_each(|(to, x)| *to = *x);
            }
        }
    }
}

/// One panel with another: sums over their depth.
#[inline(always)]
fn tile(a: &[f32], b: &[f32]) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[Lanes::splat(0.0); COLUMNS / LANES]; ROWS];
    let ((a, _), (b, _)) = (a.as_chunks::<ROWS>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b.chunks_exact(COLUMNS / LANES)) {
        let b: [Lanes; COLUMNS / LANES] = std::array::from_fn(|j| Lanes::load(&b[j]));
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = Lanes::splat(*a);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = sum.plus_product(a, b);
            }
        }
    }
    let mut out = [[0.0f32; COLUMNS]; ROWS];
    for (out, sums) in out.iter_mut().zip(sums) {
        out.as_chunks_mut::<LANES>().0.iter_mut().zip(sums).for_each(|(out, sum)| sum.store(out));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn random(rows: usize, columns: usize, seed: u64) -> Tensor<2> {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        from_vec(values, [rows, columns], &Device::flex())
    }

    fn close(found: Tensor<2>, wanted: Tensor<2>, what: &str) {
        assert_eq!(found.dims(), wanted.dims());
        for (i, (a, b)) in to_vec(found).iter().zip(to_vec(wanted)).enumerate() {
            assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{what} at {i}: {a} {b}");
        }
    }

    #[test]
    fn packed_products_are_the_devices_in_every_size_and_direction() {
        let sizes = [
            [1, 1, 1],
            [ROWS, 3, COLUMNS],
            [5, 7, 9],
            [ROWS + 1, DEPTH, COLUMNS - 1],
            [17, DEPTH + 1, 30],
            [3, 2, BREADTH + 1],
            [6, 2 * DEPTH + 5, BREADTH + 9],
        ];
        for [m, k, n] in sizes {
            let what = format!("{m} x {k} x {n}");
            let (a, b) = (random(m, k, 1), random(k, n, 2));
            let along = |row| View { row, column: 1 };
            let across = |column| View { row: 1, column };
            let wanted = a.clone().matmul(b.clone());
            close(packed(a.clone(), along(k), b.clone(), along(n), [m, k, n]), wanted, &what);
            let turned = random(n, k, 3);
            let wanted = a.clone().matmul(turned.clone().transpose());
            close(packed(a, along(k), turned, across(k), [m, k, n]), wanted, &what);
            let turned = random(k, m, 4);
            let wanted = turned.clone().transpose().matmul(b.clone());
            close(packed(turned, across(m), b, along(n), [m, k, n]), wanted, &what);
        }
    }

    #[test]
    fn a_row_does_not_depend_on_those_beside_it() {
        let (a, b) = (random(11, 700, 1), random(700, 13, 2));
        let all = to_vec(packed(
            a.clone(),
            View { row: 700, column: 1 },
            b.clone(),
            View { row: 13, column: 1 },
            [11, 700, 13],
        ));
        let one = a.slice([6..7, 0..700]);
        let alone = to_vec(packed(one, View { row: 700, column: 1 }, b, View { row: 13, column: 1 }, [1, 700, 13]));
        assert_eq!(alone, all[6 * 13..7 * 13]);
    }

    #[test]
    fn the_three_products_are_what_they_say() {
        let (a, b) = (random(5, 6, 1), random(6, 7, 2));
        close(times(a.clone(), b.clone()), a.clone().matmul(b), "a b");
        let b = random(7, 6, 3);
        close(times_turned(a.clone(), b.clone()), a.clone().matmul(b.transpose()), "a bᵀ");
        let b = random(5, 7, 4);
        close(turned_times(a.clone(), b.clone()), a.transpose().matmul(b), "aᵀ b");
    }
}
