// One number of each part of a tensor: the sum of its squares, for the norm of a gradient, or where LARGEST the largest size of
// its numbers, by which a product in 16 bits scales it.
//
// values [count]
// out    [groups]
// sizes  count
//
// A thread goes through every THREADS x groups'th number. Workgroups: as many as are worth it.
// Twin: `sum_of_squares` in crates/ragtune-kernels/src/adamw.rs, which adds the parts up; the maximum of absolute values.
// LARGEST is set anew for each call.

const LARGEST: bool = false;

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;

var<workgroup> found: array<f32, THREADS>;

fn joined(one: f32, other: f32) -> f32 {
    if LARGEST {
        return max(one, other);
    }
    return one + other;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let count = sizes[0];
    var own = 0.0;
    for (var at = group.x * THREADS + index; at < count; at += THREADS * groups.x) {
        let value = values[at];
        own = joined(own, select(value * value, abs(value), LARGEST));
    }
    found[index] = own;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if index < half {
            found[index] = joined(found[index], found[index + half]);
        }
        workgroupBarrier();
    }
    if index == 0u {
        out[group.x] = found[0];
    }
}
