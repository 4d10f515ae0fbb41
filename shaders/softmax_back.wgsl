// The way back through attention's probabilities: d_score = factor x p x (d_p - sum of p x d_p over the row).
//
// probabilities [rows, length]  0 at what is padding, and so is its gradient
// gradient      [rows, length]  of the probabilities
// sizes         length, rows, bits of the factor of the scores
// back          [rows, length]  out, of the scores
//
// 32 threads take a row. Workgroups: ceil(rows / 8), in two dimensions.
// Twin: `probabilities_back` in crates/ragtune-kernels/src/on_gpu.rs.

const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read_write> probabilities: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> back: array<f32>;
@group(0) @binding(3) var<storage, read> sizes: array<u32>;

// What each thread found.
var<workgroup> found: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % LANES;
    let neighbours = index - lane;
    let row = (group.y * groups.x + group.x) * 8u + index / LANES;
    let width = sizes[0];
    let factor = bitcast<f32>(sizes[2]);
    let length = select(0u, width, row < sizes[1]);
    let start = row * width;
    var own = 0.0;
    for (var at = lane; at < length; at += LANES) {
        own += probabilities[start + at] * gradient[start + at];
    }
    found[index] = own;
    workgroupBarrier();
    var sum = 0.0;
    for (var other = 0u; other < LANES; other += 1u) {
        sum += found[neighbours + other];
    }
    for (var at = lane; at < length; at += LANES) {
        back[start + at] = factor * probabilities[start + at] * (gradient[start + at] - sum);
    }
}
