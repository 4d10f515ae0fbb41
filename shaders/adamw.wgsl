// One AdamW update of one weight: the moments follow the gradient, the weight goes along the first over the root of the second.
//
// weights, gradient, first, second  [count]  the weight, its gradient and the two moments
// new_weights, new_first, new_second [count] out
// sizes  count, then the bits of: learning rate, the decays of the first and second moment, what is added to the root, weight
//        decay, the factor of the gradient, and what corrects the first and the second moment
//
// Workgroups: ceil(count / 256), in two dimensions.
// Twin: `adamw` in crates/ragtune-kernels/src/adamw.rs.

@group(0) @binding(0) var<storage, read_write> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> first: array<f32>;
@group(0) @binding(3) var<storage, read_write> second: array<f32>;
@group(0) @binding(4) var<storage, read_write> new_weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> new_first: array<f32>;
@group(0) @binding(6) var<storage, read_write> new_second: array<f32>;
@group(0) @binding(7) var<storage, read> sizes: array<u32>;

fn told(at: u32) -> f32 {
    return bitcast<f32>(sizes[at]);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = (group.y * groups.x + group.x) * 256u + index;
    if at >= sizes[0] {
        return;
    }
    let g = gradient[at] * told(6u);
    let m = told(2u) * first[at] + (1.0 - told(2u)) * g;
    let v = told(3u) * second[at] + (1.0 - told(3u)) * g * g;
    let update = (m / told(7u)) / (sqrt(v / told(8u)) + told(4u));
    new_weights[at] = weights[at] - told(1u) * (update + told(5u) * weights[at]);
    new_first[at] = m;
    new_second[at] = v;
}
