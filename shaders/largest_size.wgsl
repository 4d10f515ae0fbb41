// The largest size of a tensor's numbers, in two launches: of many parts of it, then of what those gave.
//
// values  [count]
// largest [groups] out
// sizes   count
//
// A thread goes through every THREADS x groups'th number. Workgroups: as many as are worth it, then one.
// Twin: the maximum of absolute values.

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> largest: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;

var<workgroup> found: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var most = 0.0;
    for (var at = group.x * THREADS + index; at < sizes[0]; at += THREADS * groups.x) {
        most = max(most, abs(values[at]));
    }
    found[index] = most;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if index < half {
            found[index] = max(found[index], found[index + half]);
        }
        workgroupBarrier();
    }
    if index == 0u {
        largest[group.x] = found[0];
    }
}
