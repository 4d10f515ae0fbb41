// The way back of the vocabulary head to the word embeddings: each row gets the states of the positions that gave its
// products, one of each text.
//
// grad   [batch, dims]            gradient of the largest products
// place  [batch, dims]            the positions that gave them
// states [batch, length, width]
// sizes  batch, length, width, dims
// out    [dims, width]
//
// A thread takes one number of the result, so nothing is added by two. Workgroups of 256 threads in two dimensions.
// Twin: `vocab_max_rows_back` in crates/ragtune-kernels/src/vocab_max.rs.

@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
@group(0) @binding(1) var<storage, read_write> place: array<u32>;
@group(0) @binding(2) var<storage, read_write> states: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = (group.y * groups.x + group.x) * 256u + index;
    let batch = sizes[0];
    let length = sizes[1];
    let width = sizes[2];
    let dims = sizes[3];
    if at >= dims * width {
        return;
    }
    let row = at / width;
    let column = at % width;
    var sum = 0.0;
    for (var text = 0u; text < batch; text += 1u) {
        let slope = grad[text * dims + row];
        if slope != 0.0 {
            sum += slope * states[(text * length + place[text * dims + row]) * width + column];
        }
    }
    out[at] = sum;
}
