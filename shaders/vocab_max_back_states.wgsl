// The way back of the vocabulary head to the hidden states: each position gets the rows whose largest product it gave.
//
// grad  [batch, dims]            gradient of the largest products
// place [batch, dims]            the positions that gave them
// rows  [dims, width]
// sizes batch, length, width, dims
// out   [batch, length, width]
//
// A workgroup takes 8 positions of one text and 256 of their numbers. It looks at 512 rows at a time, lists those that belong to
// its positions in their order, and adds them: sums do not depend on who comes first. Workgroups: ceil(width / 256) x
// ceil(length / 8) x batch. Twin: `vocab_max_rows_back` in crates/ragtune-kernels/src/vocab_max.rs.

@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
@group(0) @binding(1) var<storage, read_write> place: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

const TILE: u32 = 8u;
const BLOCK: u32 = 512u;

var<workgroup> shape: vec4<u32>;
// By position of the tile and thread.
var<workgroup> sums: array<f32, 2048>;
// Rows that a thread and those before it have found.
var<workgroup> counts: array<u32, 256>;
// The rows found, as 8 x row + position of the tile, and their gradients.
var<workgroup> found: array<u32, 512>;
var<workgroup> slopes: array<f32, 512>;

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
    let first_position = group.y * TILE;
    let text = group.z;
    for (var i = 0u; i < TILE; i += 1u) {
        sums[i * 256u + index] = 0.0;
    }
    for (var first = 0u; first < dims; first += BLOCK) {
        // A thread's two rows.
        var own = vec2<u32>();
        var slope = vec2<f32>();
        for (var i = 0u; i < 2u; i += 1u) {
            let row = first + index * 2u + i;
            if row < dims {
                let position = place[text * dims + row] - first_position;
                if position < TILE {
                    slope[i] = grad[text * dims + row];
                    own[i] = (index * 2u + i) * TILE + position;
                }
            }
        }
        let count = select(0u, 1u, slope.x != 0.0) + select(0u, 1u, slope.y != 0.0);
        counts[index] = count;
        workgroupBarrier();
        for (var reach = 1u; reach < 256u; reach *= 2u) {
            var before = 0u;
            if index >= reach {
                before = counts[index - reach];
            }
            workgroupBarrier();
            counts[index] += before;
            workgroupBarrier();
        }
        var at = counts[index] - count;
        for (var i = 0u; i < 2u; i += 1u) {
            if slope[i] != 0.0 {
                found[at] = own[i];
                slopes[at] = slope[i];
                at += 1u;
            }
        }
        workgroupBarrier();
        if column < width {
            let many = counts[255];
            for (var i = 0u; i < many; i += 1u) {
                let row = first + found[i] / TILE;
                sums[(found[i] % TILE) * 256u + index] += slopes[i] * rows[row * width + column];
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < TILE; i += 1u) {
        let position = first_position + i;
        if column < width && position < length {
            out[(text * length + position) * width + column] = sums[i * 256u + index];
        }
    }
}
