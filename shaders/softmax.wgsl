// Attention's probabilities: of each row of scores the exponentials, scaled to a sum of 1, of a text's real positions; 0 behind
// them. Where CAUSAL, of the positions up to the row's own.
//
// scores        [batch, heads x length, length]
// sizes         heads x length, length, rows of all, bits of the factor of the scores, then, where not CAUSAL, the real
//               positions of each text
// probabilities [batch, heads x length, length] out
//
// A subgroup takes a row. Workgroups: ceil(rows / 8), in two dimensions.
// Twin: `probabilities` in crates/ragtune-kernels/src/units.rs. LANES and CAUSAL are set anew for each
// device and call.

const LANES: u32 = 32u;
const CAUSAL: bool = false;
const THREADS: u32 = 8u * LANES;

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> probabilities: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let row = (group.y * groups.x + group.x) * 8u + subgroup;
    let length = sizes[1];
    let there = row < sizes[2];
    let start = select(0u, row * length, there);
    var real = 0u;
    if there {
        if CAUSAL {
            real = row % length + 1u;
        } else {
            real = sizes[4u + row / sizes[0]];
        }
    }
    let factor = bitcast<f32>(sizes[3]);
    var most = -3.4e38;
    for (var at = lane; at < real; at += LANES) {
        most = max(most, factor * scores[start + at]);
    }
    most = subgroupMax(most);
    var sum = 0.0;
    for (var at = lane; at < real; at += LANES) {
        sum += exp(factor * scores[start + at] - most);
    }
    sum = subgroupAdd(sum);
    if there {
        for (var at = lane; at < length; at += LANES) {
            let own = exp(factor * scores[start + at] - most) / sum;
            probabilities[start + at] = select(0.0, own, at < real);
        }
    }
}
