// What a softmax over the vocabulary needs, without its logits being written: for each state the largest logit over strips
// of 1,024 words, the sum of exp(logit - largest) over each strip, and the logit of one word.
//
// states  [count, width]
// rows    [words, width]           the language model's head, or the part of it that is bound
// sizes   count, width, words, strips, bits of the cap (0.0: none), then the wanted word of each state, 4294967295: in
//         another part
// sums    [count, strips, 2]       out: largest, sum
// wanted  [count]                  out, where the word is in this part; as it was otherwise
//
// A workgroup takes 64 states and one strip; a thread holds 4 x 4 logits. Workgroups: strips x ceil(count / 64).
// Twin: `of_logits` in crates/ragtune-kernels/src/log_probs.rs.

@group(0) @binding(0) var<storage, read_write> states: array<f32>;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> wanted: array<f32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

const SIDE: u32 = 64u;
const DEPTH: u32 = 16u;
const STRIP: u32 = 1024u;
const LEAST: f32 = -3.4e38;

var<workgroup> shape: vec4<u32>;
var<workgroup> state_tile: array<f32, 1024>;
var<workgroup> row_tile: array<f32, 1024>;
// By 16 threads for each of 64 states; a quarter of the states at a time.
var<workgroup> most_of: array<f32, 256>;
var<workgroup> sum_of: array<f32, 256>;

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    if index == 0u {
        shape = vec4<u32>(sizes[0], sizes[1], sizes[2], sizes[3]);
    }
    let all = workgroupUniformLoad(&shape);
    let count = all.x;
    let width = all.y;
    let words = all.z;
    let strips = all.w;
    let cap = bitcast<f32>(sizes[4]);
    let first_state = group.y * SIDE;
    let end = min((group.x + 1u) * STRIP, words);

    // Of a thread's four states.
    var most = array<f32, 4>(LEAST, LEAST, LEAST, LEAST);
    var total = array<f32, 4>(0.0, 0.0, 0.0, 0.0);
    for (var first = group.x * STRIP; first < end; first += SIDE) {
        var logits = array<vec4<f32>, 4>(vec4<f32>(), vec4<f32>(), vec4<f32>(), vec4<f32>());
        for (var depth = 0u; depth < width; depth += DEPTH) {
            for (var i = 0u; i < 4u; i += 1u) {
                let at = index + 256u * i;
                let k = at % DEPTH;
                let which = at / DEPTH;
                let state_at = first_state + which;
                let word_at = first + which;
                var state = 0.0;
                var word = 0.0;
                if depth + k < width && state_at < count {
                    state = states[state_at * width + depth + k];
                }
                if depth + k < width && word_at < end {
                    word = rows[word_at * width + depth + k];
                }
                state_tile[k * SIDE + which] = state;
                row_tile[k * SIDE + which] = word;
            }
            workgroupBarrier();
            for (var k = 0u; k < DEPTH; k += 1u) {
                let at = k * SIDE + local.x * 4u;
                let word = vec4<f32>(row_tile[at], row_tile[at + 1u], row_tile[at + 2u], row_tile[at + 3u]);
                for (var j = 0u; j < 4u; j += 1u) {
                    logits[j] += state_tile[k * SIDE + local.y * 4u + j] * word;
                }
            }
            workgroupBarrier();
        }
        for (var j = 0u; j < 4u; j += 1u) {
            let state_at = first_state + local.y * 4u + j;
            for (var i = 0u; i < 4u; i += 1u) {
                let word_at = first + local.x * 4u + i;
                if state_at < count && word_at < end {
                    var logit = logits[j][i];
                    if cap > 0.0 {
                        logit = cap * tanh(logit / cap);
                    }
                    if sizes[5u + state_at] == word_at {
                        wanted[state_at] = logit;
                    }
                    if logit > most[j] {
                        total[j] = total[j] * exp(most[j] - logit) + 1.0;
                        most[j] = logit;
                    } else {
                        total[j] += exp(logit - most[j]);
                    }
                }
            }
        }
    }

    for (var j = 0u; j < 4u; j += 1u) {
        most_of[local.y * 16u + local.x] = most[j];
        sum_of[local.y * 16u + local.x] = total[j];
        workgroupBarrier();
        if index < 16u {
            var value = LEAST;
            for (var x = 0u; x < 16u; x += 1u) {
                value = max(value, most_of[index * 16u + x]);
            }
            var sum = 0.0;
            for (var x = 0u; x < 16u; x += 1u) {
                sum += sum_of[index * 16u + x] * exp(most_of[index * 16u + x] - value);
            }
            let state_at = first_state + index * 4u + j;
            if state_at < count {
                sums[(state_at * strips + group.x) * 2u] = value;
                sums[(state_at * strips + group.x) * 2u + 1u] = sum;
            }
        }
        workgroupBarrier();
    }
}
