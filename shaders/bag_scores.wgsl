// Scores of bags of tokens: for each question and passage the sum of the question's weights over the passage's bag, in
// ascending order of the dimensions.
//
// weights  [questions, dims]      0 where a question has no dimension
// ends     [passages]             where each bag ends; the first begins at 0
// bags     [entries]              dimensions of all bags behind each other, ascending within each
// sizes    questions, dims, passages
// scores   [questions, passages]  out
//
// A thread takes one passage of one question. Workgroups: passages / 256, in x and y, x questions.
// Twin: `plain` in crates/ragtune-kernels/src/bags.rs.

@group(0) @binding(0) var<storage, read_write> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> ends: array<u32>;
@group(0) @binding(2) var<storage, read_write> bags: array<u32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let passage = (group.y * groups.x + group.x) * 256u + index;
    let passages = sizes[2];
    if passage >= passages {
        return;
    }
    var at = 0u;
    if passage > 0u {
        at = ends[passage - 1u];
    }
    let end = ends[passage];
    let row = group.z * sizes[1];
    var sum = 0.0;
    for (; at < end; at += 1u) {
        sum += weights[row + bags[at]];
    }
    scores[group.z * passages + passage] = sum;
}
