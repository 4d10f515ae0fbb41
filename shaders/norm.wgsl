// LayerNorm of rows, or of the sums of two: to mean 0 and variance 1, then times a gain and plus a shift. Where ROOT, their
// mean stays as it is, they are brought to a mean square of 1, and there is no shift.
//
// values, added [rows, width]  `added` is read where ADDED
// gain, shift   [width]
// out           [rows, width]  out
// kept          [rows]         out: each row's mean, and one over its standard deviation
// sizes         rows, width, bits of what is added to the variance
//
// 64 threads take a row. Workgroups: ceil(rows / 4), in two dimensions.
// Twin: `norm` in crates/ragtune-kernels/src/rows.rs. ADDED and ROOT are set anew for each
// call.

const ADDED: bool = false;
const ROOT: bool = false;

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> added: array<f32>;
@group(0) @binding(2) var<storage, read_write> gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read_write> kept: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> sizes: array<u32>;

const LANES: u32 = 64u;

var<workgroup> found: array<f32, 256>;

fn value(at: u32) -> f32 {
    if ADDED {
        return values[at] + added[at];
    }
    return values[at];
}

// The sum over the threads of a row.
fn sum(own: f32, index: u32) -> f32 {
    found[index] = own;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if index % LANES < half {
            found[index] += found[index + half];
        }
        workgroupBarrier();
    }
    let all = found[index - index % LANES];
    workgroupBarrier();
    return all;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let row = (group.y * groups.x + group.x) * 4u + index / LANES;
    // A row that is not there is empty.
    let width = select(0u, sizes[1], row < sizes[0]);
    let start = row * sizes[1];
    let lane = index % LANES;
    var own = 0.0;
    var mean = 0.0;
    if !ROOT {
        for (var at = lane; at < width; at += LANES) {
            own += value(start + at);
        }
        mean = sum(own, index) / f32(sizes[1]);
    }
    own = 0.0;
    for (var at = lane; at < width; at += LANES) {
        let away = value(start + at) - mean;
        own += away * away;
    }
    let variance = sum(own, index) / f32(sizes[1]);
    let scale = 1.0 / sqrt(variance + bitcast<f32>(sizes[2]));
    for (var at = lane; at < width; at += LANES) {
        let normed = (value(start + at) - mean) * scale * gain[at];
        if ROOT {
            out[start + at] = normed;
        } else {
            out[start + at] = normed + shift[at];
        }
    }
    if lane == 0u && width > 0u {
        kept[row] = vec2<f32>(mean, scale);
    }
}
