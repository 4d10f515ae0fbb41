// The vocabulary head: for each text and each row of the vocabulary the largest inner product over the text's positions,
// and the first position that gives it. The products themselves, [batch, length, dims], are never written.
//
// states  [batch, length, width]   hidden states, padded
// rows    [dims, width]            word embeddings
// sizes   batch, length, width, dims, then the number of real positions of each text, each at least 1
// largest [batch, dims]            out
// place   [batch, dims]            out
//
// A workgroup takes 64 rows of one text and goes through its positions, 64 at a time; a thread holds 4 x 4 products.
// Workgroups: ceil(dims / 64) x batch. Twin: `vocab_max_rows` in crates/ragtune-kernels/src/vocab_max.rs.

@group(0) @binding(0) var<storage, read_write> states: array<f32>;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> sizes: array<u32>;
@group(0) @binding(3) var<storage, read_write> largest: array<f32>;
@group(0) @binding(4) var<storage, read_write> place: array<u32>;

const SIDE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> shape: vec4<u32>;
var<workgroup> state_tile: array<f32, 1024>;
var<workgroup> row_tile: array<f32, 1024>;
// By 16 threads for each of 32 rows: half of them at a time keeps within the 16 KiB that WebGPU promises.
var<workgroup> best_of: array<f32, 512>;
var<workgroup> place_of: array<u32, 512>;

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let text = group.y;
    if index == 0u {
        shape = vec4<u32>(sizes[1], sizes[2], sizes[3], sizes[4u + text]);
    }
    let all = workgroupUniformLoad(&shape);
    let length = all.x;
    let width = all.y;
    let dims = all.z;
    let positions = all.w;
    let first_row = group.x * SIDE;

    var best = array<f32, 4>(-3.4e38, -3.4e38, -3.4e38, -3.4e38);
    var found = array<u32, 4>(0u, 0u, 0u, 0u);
    for (var first = 0u; first < positions; first += SIDE) {
        var sums = array<vec4<f32>, 4>(vec4<f32>(), vec4<f32>(), vec4<f32>(), vec4<f32>());
        for (var depth = 0u; depth < width; depth += DEPTH) {
            // Each thread brings four numbers of either tile, [DEPTH, SIDE].
            for (var i = 0u; i < 4u; i += 1u) {
                let at = index + 256u * i;
                let k = at % DEPTH;
                let which = at / DEPTH;
                let position = first + which;
                let row = first_row + which;
                var state = 0.0;
                var word = 0.0;
                if depth + k < width && position < positions {
                    state = states[(text * length + position) * width + depth + k];
                }
                if depth + k < width && row < dims {
                    word = rows[row * width + depth + k];
                }
                state_tile[k * SIDE + which] = state;
                row_tile[k * SIDE + which] = word;
            }
            workgroupBarrier();
            for (var k = 0u; k < DEPTH; k += 1u) {
                let words = k * SIDE + local.x * 4u;
                let word = vec4<f32>(row_tile[words], row_tile[words + 1u], row_tile[words + 2u], row_tile[words + 3u]);
                for (var j = 0u; j < 4u; j += 1u) {
                    sums[j] += state_tile[k * SIDE + local.y * 4u + j] * word;
                }
            }
            workgroupBarrier();
        }
        for (var j = 0u; j < 4u; j += 1u) {
            let position = first + local.y * 4u + j;
            if position < positions {
                for (var i = 0u; i < 4u; i += 1u) {
                    if sums[j][i] > best[i] {
                        best[i] = sums[j][i];
                        found[i] = position;
                    }
                }
            }
        }
    }

    // The best of 16 threads for each row, two of a thread's four rows at a time.
    for (var half = 0u; half < 2u; half += 1u) {
        for (var i = 0u; i < 2u; i += 1u) {
            let at = local.y * 32u + local.x * 2u + i;
            best_of[at] = best[half * 2u + i];
            place_of[at] = found[half * 2u + i];
        }
        workgroupBarrier();
        if index < 32u {
            var value = best_of[index];
            var at = place_of[index];
            for (var y = 1u; y < 16u; y += 1u) {
                let other = best_of[y * 32u + index];
                let other_at = place_of[y * 32u + index];
                if other > value || (other == value && other_at < at) {
                    value = other;
                    at = other_at;
                }
            }
            let row = first_row + (index / 2u) * 4u + half * 2u + index % 2u;
            if row < dims {
                largest[text * dims + row] = value;
                place[text * dims + row] = at;
            }
        }
        workgroupBarrier();
    }
}
