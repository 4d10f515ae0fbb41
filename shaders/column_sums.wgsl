// Sums of the columns of a matrix over parts of its rows, in two launches: of the matrix, then of what that gave. The gradient
// of a bias.
//
// values [rows, columns]
// sums   [parts, columns] out
// sizes  rows, columns, rows of a part
//
// Workgroups: ceil(columns / 256) x parts.
// Twin: `sum_rows` in crates/ragtune-kernels/src/rows.rs.

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let column = group.x * 256u + index;
    let columns = sizes[1];
    if column >= columns {
        return;
    }
    let last = min(sizes[0], (group.y + 1u) * sizes[2]);
    var sum = 0.0;
    for (var row = group.y * sizes[2]; row < last; row += 1u) {
        sum += values[row * columns + column];
    }
    sums[group.y * columns + column] = sum;
}
