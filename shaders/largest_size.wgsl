// The largest size of a tensor's numbers, as bits: sizes of floats have the order of their bits, so the largest is the same in
// whatever order it is found.
//
// values  [count]
// largest [2]      its place `slot` holds what was found before, at first 0
// sizes   count, slot
//
// A thread goes through every THREADS x groups'th number. Workgroups: as many as are worth it.
// Twin: none but the maximum of absolute values.

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> largest: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> sizes: array<u32>;

var<workgroup> found: atomic<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(global_invocation_id) thread: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    // Nobody sets shared memory to 0.
    if index == 0u {
        atomicStore(&found, 0u);
    }
    workgroupBarrier();
    var most = 0.0;
    for (var at = thread.x; at < sizes[0]; at += 256u * groups.x) {
        most = max(most, abs(values[at]));
    }
    atomicMax(&found, bitcast<u32>(most));
    workgroupBarrier();
    if index == 0u {
        atomicMax(&largest[sizes[1]], atomicLoad(&found));
    }
}
