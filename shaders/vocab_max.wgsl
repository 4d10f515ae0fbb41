// The vocabulary head: for each text and each row of the vocabulary the largest inner product over the text's positions,
// and the first position that gives it. The products themselves, [batch, length, dims], are never written.
//
// states  [batch, length, width]   hidden states, padded
// rows    [dims, width]            word embeddings
// sizes   batch, length, width, dims, then the number of real positions of each text, each at least 1
// largest [batch, dims]            out
// place   [batch, dims]            out
//
// A workgroup takes 128 rows of one text and goes through its positions, 64 at a time; a thread holds the products of 4
// positions with 8 rows. Workgroups: ceil(dims / 128) x batch.
// Twin: `vocab_max_rows` in crates/ragtune-kernels/src/vocab_max.rs.

@group(0) @binding(0) var<storage, read_write> states: array<f32>;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> largest: array<f32>;
@group(0) @binding(3) var<storage, read_write> place: array<u32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

const POSITIONS: u32 = 64u;
const ROWS: u32 = 128u;
const DEPTH: u32 = 16u;
// Fours of a tile for one of its depths: one more than there are, so that neighbours in depth lie in other banks.
const STATE_QUADS: u32 = 17u;
const ROW_QUADS: u32 = 33u;

var<workgroup> shape: vec4<u32>;
var<workgroup> state_tile: array<vec4<f32>, 272>;
var<workgroup> row_tile: array<vec4<f32>, 528>;
// By 16 threads for each of 16 rows: an eighth of the rows at a time.
var<workgroup> best_of: array<f32, 256>;
var<workgroup> place_of: array<u32, 256>;

// The better of what was found and the products of a position, for four rows.
struct Best {
    value: vec4<f32>,
    at: vec4<u32>,
}

fn better(best: Best, products: vec4<f32>, position: u32) -> Best {
    let larger = products > best.value;
    return Best(select(best.value, products, larger), select(best.at, vec4<u32>(position), larger));
}

// What a thread brings: the same depth of four states, and of four rows in either half of the tile. Nothing waits for a branch on
// the way to them: what lies outside is read from where there is something, and not looked at.
struct Quads {
    state: vec4<f32>,
    low: vec4<f32>,
    high: vec4<f32>,
}

fn bring(state: vec4<u32>, low: vec4<u32>, high: vec4<u32>, deep: u32, width: u32) -> Quads {
    let at = min(deep, width - 1u);
    let s = state + at;
    let l = low + at;
    let h = high + at;
    let inside = deep < width;
    return Quads(
        select(vec4<f32>(), vec4<f32>(states[s.x], states[s.y], states[s.z], states[s.w]), inside),
        select(vec4<f32>(), vec4<f32>(rows[l.x], rows[l.y], rows[l.z], rows[l.w]), inside),
        select(vec4<f32>(), vec4<f32>(rows[h.x], rows[h.y], rows[h.z], rows[h.w]), inside),
    );
}

fn put(quads: Quads, depth: u32, quad: u32) {
    state_tile[depth * STATE_QUADS + quad] = quads.state;
    row_tile[depth * ROW_QUADS + quad] = quads.low;
    row_tile[depth * ROW_QUADS + 16u + quad] = quads.high;
}

// Where four lines begin, of which there are `count`.
fn lines(start: u32, first: u32, count: u32, width: u32) -> vec4<u32> {
    return start + min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(count - 1u)) * width;
}

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
    let first_row = group.x * ROWS;
    // Neighbours bring neighbours in depth.
    let own_depth = index % DEPTH;
    let own_quad = index / DEPTH;
    let low_lines = lines(0u, first_row + own_quad * 4u, dims, width);
    let high_lines = lines(0u, first_row + 64u + own_quad * 4u, dims, width);

    // A thread's rows: four of the tile's lower half and four of its upper.
    var low = Best(vec4<f32>(-3.4e38), vec4<u32>());
    var high = Best(vec4<f32>(-3.4e38), vec4<u32>());
    for (var first = 0u; first < positions; first += POSITIONS) {
        var low0 = vec4<f32>();
        var low1 = vec4<f32>();
        var low2 = vec4<f32>();
        var low3 = vec4<f32>();
        var high0 = vec4<f32>();
        var high1 = vec4<f32>();
        var high2 = vec4<f32>();
        var high3 = vec4<f32>();
        let state_lines = lines(text * length * width, first + own_quad * 4u, positions, width);
        put(bring(state_lines, low_lines, high_lines, own_depth, width), own_depth, own_quad);
        for (var depth = DEPTH; ; depth += DEPTH) {
            workgroupBarrier();
            // What comes next is read while what is there is multiplied.
            let next = bring(state_lines, low_lines, high_lines, depth + own_depth, width);
            for (var k = 0u; k < DEPTH; k += 1u) {
                let s = state_tile[k * STATE_QUADS + local.y];
                let l = row_tile[k * ROW_QUADS + local.x];
                let h = row_tile[k * ROW_QUADS + 16u + local.x];
                low0 += s.x * l;
                low1 += s.y * l;
                low2 += s.z * l;
                low3 += s.w * l;
                high0 += s.x * h;
                high1 += s.y * h;
                high2 += s.z * h;
                high3 += s.w * h;
            }
            workgroupBarrier();
            if depth >= width {
                break;
            }
            put(next, own_depth, own_quad);
        }
        let position = first + local.y * 4u;
        if position < positions {
            low = better(low, low0, position);
            high = better(high, high0, position);
        }
        if position + 1u < positions {
            low = better(low, low1, position + 1u);
            high = better(high, high1, position + 1u);
        }
        if position + 2u < positions {
            low = better(low, low2, position + 2u);
            high = better(high, high2, position + 2u);
        }
        if position + 3u < positions {
            low = better(low, low3, position + 3u);
            high = better(high, high3, position + 3u);
        }
    }

    // The best of 16 threads for each row, one of a thread's eight rows at a time.
    for (var i = 0u; i < 8u; i += 1u) {
        let part = i % 4u;
        if i < 4u {
            best_of[index] = low.value[part];
            place_of[index] = low.at[part];
        } else {
            best_of[index] = high.value[part];
            place_of[index] = high.at[part];
        }
        workgroupBarrier();
        if index < 16u {
            var value = best_of[index];
            var at = place_of[index];
            for (var y = 1u; y < 16u; y += 1u) {
                let other = best_of[y * 16u + index];
                let other_at = place_of[y * 16u + index];
                if other > value || (other == value && other_at < at) {
                    value = other;
                    at = other_at;
                }
            }
            let row = first_row + (i / 4u) * 64u + index * 4u + part;
            if row < dims {
                largest[text * dims + row] = value;
                place[text * dims + row] = at;
            }
        }
        workgroupBarrier();
    }
}
