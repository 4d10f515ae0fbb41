// What stands between the two products of a feed-forward layer, or its slope times the gradient that comes back.
//
// values   [count]
// gradient [count] read where BACK
// out      [count] out
// sizes    count
//
// Workgroups: ceil(count / 256), in two dimensions.
// Twins: `activate` and `activate_back` in crates/ragtune-kernels/src/rows.rs. TANH and BACK are set anew for each call.

// The form with a hyperbolic tangent, else the one with the error function.
const TANH: bool = false;
const BACK: bool = false;

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> sizes: array<u32>;

// x times the normal distribution up to x, and the slope of that.
fn gelu(x: f32) -> vec2<f32> {
    // Abramowitz and Stegun 7.1.26: erf(z) = 1 - poly(1 / (1 + p z)) exp(-z z) for z >= 0.
    let z = abs(x) * 0.70710677;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let poly = t * (0.2548296 + t * (-0.28449674 + t * (1.4214137 + t * (-1.453152 + t * 1.0614054))));
    let bell = exp(-z * z);
    let tail = 0.5 * poly * bell;
    let share = select(1.0 - tail, tail, x < 0.0);
    // 1 / sqrt(2 pi)
    return vec2<f32>(x * share, share + x * 0.3989423 * bell);
}

fn gelu_tanh(x: f32) -> vec2<f32> {
    // sqrt(2 / pi); the tangent is 1 from there on.
    let inner = clamp(0.7978846 * (x + 0.044715 * x * x * x), -20.0, 20.0);
    let tangent = tanh(inner);
    let steep = 0.7978846 * (1.0 + 0.134145 * x * x);
    return vec2<f32>(0.5 * x * (1.0 + tangent), 0.5 * (1.0 + tangent) + 0.5 * x * (1.0 - tangent * tangent) * steep);
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
    var found: vec2<f32>;
    if TANH {
        found = gelu_tanh(values[at]);
    } else {
        found = gelu(values[at]);
    }
    if BACK {
        out[at] = gradient[at] * found.y;
    } else {
        out[at] = found.x;
    }
}
