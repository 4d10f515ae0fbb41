// The way back from the four kinds of scores of a batch to the vectors of one side.
//
// vectors, forms [others, dims]            of the other side
// own_forms      [rows, dims]              of this side
// gradient       [4, questions, passages]  of the scores
// out            [rows, dims]              of this side's vectors
// sizes  rows, others, dims, questions x passages, the gradient's strides of a row and of another, then which kind of score
//        takes this side's S+, which the other's, and which the other's bag
//
// Workgroups: ceil(dims / 256) x rows.
// Twin: `scores_back` in crates/ragtune-kernels/src/batch.rs.

@group(0) @binding(0) var<storage, read_write> vectors: array<f32>;
@group(0) @binding(1) var<storage, read_write> forms: array<u32>;
@group(0) @binding(2) var<storage, read_write> own_forms: array<u32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let at = group.x * 256u + index;
    let dims = sizes[2];
    if at >= dims {
        return;
    }
    let others = sizes[1];
    let row = group.y * sizes[4];
    let stride = sizes[5];
    let own = f32(own_forms[group.y * dims + at] & 1u);
    let by_own = sizes[6] * sizes[3];
    let by_other = sizes[7] * sizes[3];
    let by_bag = sizes[8] * sizes[3];
    var sum = 0.0;
    for (var other = 0u; other < others; other += 1u) {
        let pair = row + other * stride;
        let value = vectors[other * dims + at];
        let form = forms[other * dims + at];
        let kept = f32(form & 1u);
        let bag = f32(form >> 1u);
        let with_value = own * gradient[by_own + pair] + kept * gradient[by_other + pair];
        sum += with_value * value + bag * gradient[by_bag + pair];
    }
    out[group.y * dims + at] = sum;
}
