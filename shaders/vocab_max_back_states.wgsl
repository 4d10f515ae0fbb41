// The way back of the vocabulary head to the hidden states: each position gets the rows whose largest product it gave.
//
// grad  [batch, dims]            gradient of the largest products
// place [batch, dims]            the positions that gave them
// rows  [dims, width]
// sizes batch, length, width, dims
// out   [batch, length, width]
//
// A workgroup takes one position of one text and 256 of its numbers, and goes through all rows in their order: sums do not
// depend on who comes first. Workgroups: ceil(width / 256) x length x batch.
// Twin: `vocab_max_rows_back` in crates/ragtune-kernels/src/vocab_max.rs.

@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
@group(0) @binding(1) var<storage, read_write> place: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> sizes: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

var<workgroup> shape: vec4<u32>;
// Gradients of 256 rows, 0 for those that another position gave.
var<workgroup> own: array<f32, 256>;

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    if index == 0u {
        shape = vec4<u32>(sizes[0], sizes[1], sizes[2], sizes[3]);
    }
    let all = workgroupUniformLoad(&shape);
    let length = all.y;
    let width = all.z;
    let dims = all.w;
    let column = group.x * 256u + index;
    let position = group.y;
    let text = group.z;
    var sum = 0.0;
    for (var first = 0u; first < dims; first += 256u) {
        let row = first + index;
        var slope = 0.0;
        if row < dims {
            if place[text * dims + row] == position {
                slope = grad[text * dims + row];
            }
        }
        own[index] = slope;
        workgroupBarrier();
        if column < width {
            for (var i = 0u; i < min(256u, dims - first); i += 1u) {
                if own[i] != 0.0 {
                    sum += own[i] * rows[(first + i) * width + column];
                }
            }
        }
        workgroupBarrier();
    }
    if column < width {
        out[(text * length + position) * width + column] = sum;
    }
}
