// The dimensions of S+ : the k largest of each vector, ties to the lower one, and those of the text's own bag.
//
// vectors [rows, dims]
// kept    [rows, dims] out: 1 for a dimension of S+, 2 more for one of the bag
// sizes   dims, k, then for each row where its bag ends, then the dimensions of all bags
//
// A workgroup takes a row: it finds the k-th largest number bit by bit, by counting, then goes through the row in order.
// Workgroups: rows.
// Twin: `lexical_forms` in crates/ragtune-kernels/src/sparsify.rs.

@group(0) @binding(0) var<storage, read_write> vectors: array<f32>;
@group(0) @binding(1) var<storage, read_write> kept: array<u32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;

var<workgroup> counted: atomic<u32>;
var<workgroup> before: array<u32, THREADS>;

// Numbers in the order of their keys: as total order has them.
fn key(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let dims = sizes[0];
    let k = min(sizes[1], dims);
    let start = group.x * dims;
    // The largest key that at least k numbers reach; 0 for k = 0 is reached by all, which is taken care of below.
    var edge = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        if index == 0u {
            atomicStore(&counted, 0u);
        }
        workgroupBarrier();
        var own = 0u;
        for (var at = index; at < dims; at += THREADS) {
            own += u32(key(vectors[start + at]) >= (edge | bit));
        }
        atomicAdd(&counted, own);
        workgroupBarrier();
        if atomicLoad(&counted) >= k {
            edge |= bit;
        }
        workgroupBarrier();
    }
    // How many are above the edge, and how many before a thread's part are on it.
    if index == 0u {
        atomicStore(&counted, 0u);
    }
    workgroupBarrier();
    let part = (dims + THREADS - 1u) / THREADS;
    let first = min(index * part, dims);
    let last = min(first + part, dims);
    var above = 0u;
    var on = 0u;
    for (var at = first; at < last; at += 1u) {
        let own = key(vectors[start + at]);
        above += u32(own > edge);
        on += u32(own == edge);
    }
    atomicAdd(&counted, above);
    before[index] = on;
    workgroupBarrier();
    let wanted = k - min(atomicLoad(&counted), k);
    var rank = 0u;
    for (var other = 0u; other < index; other += 1u) {
        rank += before[other];
    }
    for (var at = first; at < last; at += 1u) {
        let own = key(vectors[start + at]);
        let is_on = own == edge;
        kept[start + at] = u32(k > 0u && (own > edge || (is_on && rank < wanted)));
        rank += u32(is_on);
    }
    storageBarrier();
    let bags = 2u + groups.x;
    let begin = select(sizes[1u + group.x], 0u, group.x == 0u);
    for (var at = begin + index; at < sizes[2u + group.x]; at += THREADS) {
        kept[start + sizes[bags + at]] = 3u;
    }
}
