// Rotary positions: the halves (a, b) of what is turned of each head become (a cos - b sin, b cos + a sin); the rest stays.
//
// values [batch, heads, length, width]  with strides, what lies behind each other innermost
// cosines, sines [texts, length, half]  texts: 1 or batch
// out    [batch, heads, length, width]  out, one row behind the other
// sizes  heads, length, width, half, texts, strides of a text, a head and a position, numbers in all
//
// Workgroups: ceil(numbers / 256), in two dimensions.
// Twin: `turn` in crates/ragtune-kernels/src/layers.rs. BACK, for the gradient, turns the other way.

const BACK: bool = false;

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> cosines: array<f32>;
@group(0) @binding(2) var<storage, read_write> sines: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = (group.y * groups.x + group.x) * 256u + index;
    if at >= sizes[8] {
        return;
    }
    let width = sizes[2];
    let half = sizes[3];
    let column = at % width;
    let position = at / width % sizes[1];
    let head = at / width / sizes[1] % sizes[0];
    let text = at / width / sizes[1] / sizes[0];
    let row = text * sizes[5] + head * sizes[6] + position * sizes[7];
    if column >= 2u * half {
        out[at] = values[row + column];
        return;
    }
    let angle = (select(text, 0u, sizes[4] == 1u) * sizes[1] + position) * half + column % half;
    let cosine = cosines[angle];
    var sine = sines[angle];
    if BACK {
        sine = -sine;
    }
    if column < half {
        out[at] = values[row + column] * cosine - values[row + column + half] * sine;
    } else {
        out[at] = values[row + column] * cosine + values[row + column - half] * sine;
    }
}
