// Attention's probabilities: of each row of scores the exponentials, scaled to a sum of 1, of a text's real positions; 0 behind
// them. Where CAUSAL, of the positions up to the row's own.
//
// scores        [batch, heads x length, length]
// sizes         heads x length, length, rows of all, bits of the factor of the scores, then, where not CAUSAL, the real
//               positions of each text
// probabilities [batch, heads x length, length] out
//
// 32 threads take a row. Workgroups: ceil(rows / 8), in two dimensions.
// Twin: `probabilities` in crates/ragtune-kernels/src/on_gpu.rs. CAUSAL is set anew for each call.

const CAUSAL: bool = false;
const LANES: u32 = 32u;

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> probabilities: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

// What each thread found; then what those of a row found.
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
    let rows_of_text = sizes[0];
    let length = sizes[1];
    let there = row < sizes[2];
    let factor = bitcast<f32>(sizes[3]);
    let start = select(0u, row * length, there);
    var real = 0u;
    if there {
        if CAUSAL {
            real = row % length + 1u;
        } else {
            real = sizes[4u + row / rows_of_text];
        }
    }
    var most = -3.4e38;
    for (var at = lane; at < real; at += LANES) {
        most = max(most, factor * scores[start + at]);
    }
    found[index] = most;
    workgroupBarrier();
    for (var other = 0u; other < LANES; other += 1u) {
        most = max(most, found[neighbours + other]);
    }
    workgroupBarrier();
    var own = 0.0;
    for (var at = lane; at < real; at += LANES) {
        own += exp(factor * scores[start + at] - most);
    }
    found[index] = own;
    workgroupBarrier();
    var sum = 0.0;
    for (var other = 0u; other < LANES; other += 1u) {
        sum += found[neighbours + other];
    }
    if there {
        for (var at = lane; at < length; at += LANES) {
            let probability = exp(factor * scores[start + min(at, real - 1u)] - most) / sum;
            probabilities[start + at] = select(0.0, probability, at < real);
        }
    }
}
