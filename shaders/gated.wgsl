// A gated feed-forward layer's inner part: the activation of the gate times what goes up.
//
// gate, up [count]
// out      [count] out
// sizes    count
//
// Workgroups: ceil(count / 256), in two dimensions.
// Twin: `gated` in crates/ragtune-kernels/src/layers.rs. KIND is set anew for each call.

// 0: x times the logistic function of x; 1, 2: x times the normal distribution up to x, with an error function or a hyperbolic
// tangent; 3: the positive part.
const KIND: u32 = 0u;

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read_write> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> sizes: array<u32>;

fn activated(x: f32) -> f32 {
    if KIND == 0u {
        return x / (1.0 + exp(-x));
    }
    if KIND == 1u {
        // Abramowitz and Stegun 7.1.26, as activation.wgsl has it.
        let z = abs(x) * 0.70710677;
        let t = 1.0 / (1.0 + 0.3275911 * z);
        let poly = t * (0.2548296 + t * (-0.28449674 + t * (1.4214137 + t * (-1.453152 + t * 1.0614054))));
        let tail = 0.5 * poly * exp(-z * z);
        return x * select(1.0 - tail, tail, x < 0.0);
    }
    if KIND == 2u {
        let inner = clamp(0.7978846 * (x + 0.044715 * x * x * x), -20.0, 20.0);
        return 0.5 * x * (1.0 + tanh(inner));
    }
    return max(x, 0.0);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = (group.y * groups.x + group.x) * 256u + index;
    if at < sizes[0] {
        out[at] = activated(gate[at]) * up[at];
    }
}
