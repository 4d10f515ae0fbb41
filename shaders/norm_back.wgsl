// The way back through a LayerNorm of rows, or of the sums of two: the gradient of what was normed, and over parts of the rows
// the sums that are the gradients of gain and shift.
//
// values, added [rows, width]     `added` is read where ADDED
// kept          [rows]            each row's mean, and one over its standard deviation
// gain          [width]
// gradient      [rows, width]     of what came out
// back          [rows, width]     out
// sums          [parts, 2, width] out: of gradient x unit row, and of the gradient
// sizes         rows, width
//
// A workgroup takes 16 rows, a thread up to 8 columns of them. Workgroups: ceil(rows / 16).
// Twin: `norm_back` in crates/ragtune-kernels/src/rows.rs. ADDED is set anew for each call.

const ADDED: bool = false;

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> added: array<f32>;
@group(0) @binding(2) var<storage, read_write> kept: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> gain: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> back: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;
@group(0) @binding(7) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;
const COLUMNS: u32 = 8u;
const ROWS: u32 = 16u;

var<workgroup> found: array<vec2<f32>, THREADS>;

fn value(at: u32) -> f32 {
    if ADDED {
        return values[at] + added[at];
    }
    return values[at];
}

fn sum(own: vec2<f32>, index: u32) -> vec2<f32> {
    found[index] = own;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if index < half {
            found[index] += found[index + half];
        }
        workgroupBarrier();
    }
    let all = found[0];
    workgroupBarrier();
    return all;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let width = sizes[1];
    var of_gain = array<f32, COLUMNS>();
    var of_shift = array<f32, COLUMNS>();
    let last = min(sizes[0], (group.x + 1u) * ROWS);
    for (var row = group.x * ROWS; row < last; row += 1u) {
        let start = row * width;
        let mean = kept[row].x;
        let scale = kept[row].y;
        var own = vec2<f32>();
        var units = array<f32, COLUMNS>();
        var scaled = array<f32, COLUMNS>();
        for (var i = 0u; i < COLUMNS; i += 1u) {
            let column = i * THREADS + index;
            if column < width {
                let d = gradient[start + column];
                let unit = (value(start + column) - mean) * scale;
                of_gain[i] += d * unit;
                of_shift[i] += d;
                units[i] = unit;
                scaled[i] = d * gain[column];
                own += vec2<f32>(scaled[i], scaled[i] * unit);
            }
        }
        let means = sum(own, index) / f32(width);
        for (var i = 0u; i < COLUMNS; i += 1u) {
            let column = i * THREADS + index;
            if column < width {
                back[start + column] = scale * (scaled[i] - means.x - units[i] * means.y);
            }
        }
    }
    for (var i = 0u; i < COLUMNS; i += 1u) {
        let column = i * THREADS + index;
        if column < width {
            sums[group.x * 2u * width + column] = of_gain[i];
            sums[(group.x * 2u + 1u) * width + column] = of_shift[i];
        }
    }
}
