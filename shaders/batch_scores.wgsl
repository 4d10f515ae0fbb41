// The four kinds of scores of a batch, of every question q with every passage d: <S+(q), V(d)>, <V(q), S+(d)>, <V(q), BoT(d)>
// and <BoT(q), V(d)>.
//
// questions, passages           [rows, dims]  vectors
// question_forms, passage_forms [rows, dims]  as forms.wgsl gives them
// scores [4, questions, passages] out
// sizes  questions, passages, dims
//
// A workgroup takes a question and four passages. Workgroups: ceil(passages / 4) x questions.
// Twin: `scores` in crates/ragtune-kernels/src/batch.rs.

@group(0) @binding(0) var<storage, read_write> questions: array<f32>;
@group(0) @binding(1) var<storage, read_write> passages: array<f32>;
@group(0) @binding(2) var<storage, read_write> question_forms: array<u32>;
@group(0) @binding(3) var<storage, read_write> passage_forms: array<u32>;
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;
@group(0) @binding(5) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;
const PASSAGES: u32 = 4u;

var<workgroup> found: array<vec4<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let last = sizes[1] - 1u;
    let dims = sizes[2];
    let question = group.y * dims;
    var sums = array<vec4<f32>, PASSAGES>();
    for (var at = index; at < dims; at += THREADS) {
        let q = questions[question + at];
        let q_form = question_forms[question + at];
        let q_kept = select(0.0, q, (q_form & 1u) != 0u);
        let q_bag = f32(q_form >> 1u);
        for (var i = 0u; i < PASSAGES; i += 1u) {
            // A passage that is not there is read as the last one.
            let passage = min(group.x * PASSAGES + i, last) * dims + at;
            let d = passages[passage];
            let d_form = passage_forms[passage];
            let d_kept = select(0.0, d, (d_form & 1u) != 0u);
            sums[i] += vec4<f32>(q_kept * d, q * d_kept, q * f32(d_form >> 1u), q_bag * d);
        }
    }
    for (var i = 0u; i < PASSAGES; i += 1u) {
        found[index] = sums[i];
        workgroupBarrier();
        for (var half = THREADS / 2u; half > 0u; half /= 2u) {
            if index < half {
                found[index] += found[index + half];
            }
            workgroupBarrier();
        }
        let passage = group.x * PASSAGES + i;
        if index < 4u && passage < sizes[1] {
            scores[(index * sizes[0] + group.y) * sizes[1] + passage] = found[0][index];
        }
        workgroupBarrier();
    }
}
