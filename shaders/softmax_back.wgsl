// The way back through attention's probabilities: d_score = factor x p x (d_p - sum of p x d_p over the row).
//
// probabilities [rows, length]  0 at what is padding, and so is its gradient
// gradient      [rows, length]  of the probabilities
// sizes         length, rows, bits of the factor of the scores
// back          [rows, length]  out, of the scores
//
// A subgroup takes a row. Workgroups: ceil(rows / 8), in two dimensions.
// Twin: `probabilities_back` in crates/ragtune-kernels/src/units.rs. LANES is set anew for each device.

const LANES: u32 = 32u;
const THREADS: u32 = 8u * LANES;

@group(0) @binding(0) var<storage, read_write> probabilities: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> back: array<f32>;
@group(0) @binding(3) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let row = (group.y * groups.x + group.x) * 8u + subgroup;
    let length = select(0u, sizes[0], row < sizes[1]);
    let start = row * sizes[0];
    let factor = bitcast<f32>(sizes[2]);
    var sum = 0.0;
    for (var at = lane; at < length; at += LANES) {
        sum += probabilities[start + at] * gradient[start + at];
    }
    sum = subgroupAdd(sum);
    for (var at = lane; at < length; at += LANES) {
        back[start + at] = factor * probabilities[start + at] * (gradient[start + at] - sum);
    }
}
