// Sums of squares of parts of a tensor, for the norm of a gradient; the host adds them up.
//
// values [count]
// sums   [groups] out
// sizes  count
//
// A thread goes through every THREADS x groups'th number. Workgroups: as many as are worth it.
// Twin: `sums_of_squares` in crates/ragtune-kernels/src/adamw.rs.

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;

var<workgroup> found: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var sum = 0.0;
    for (var at = group.x * THREADS + index; at < sizes[0]; at += THREADS * groups.x) {
        sum += values[at] * values[at];
    }
    found[index] = sum;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if index < half {
            found[index] += found[index + half];
        }
        workgroupBarrier();
    }
    if index == 0u {
        sums[group.x] = found[0];
    }
}
