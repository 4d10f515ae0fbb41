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
// A workgroup takes 64 states and one strip, 128 words of it at a time; a thread holds the logits of 4 states with 8 words.
// Workgroups: strips x ceil(count / 64).
// Twin: `of_logits` in crates/ragtune-kernels/src/log_probs.rs.

@group(0) @binding(0) var<storage, read_write> states: array<f32>;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> wanted: array<f32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;
const STATES: u32 = 64u;
const WORDS: u32 = 128u;
const DEPTH: u32 = 16u;
const STRIP: u32 = 1024u;
const LEAST: f32 = -3.4e38;
const NONE: u32 = 4294967295u;
// Fours of a tile for one of its depths: one more than there are, so that neighbours in depth lie in other banks.
const STATE_QUADS: u32 = 17u;
const ROW_QUADS: u32 = 33u;

var<workgroup> shape: vec4<u32>;
var<workgroup> state_tile: array<vec4<f32>, 272>;
// In the end what 16 threads found for each of 64 states: the largest of all, then the sums of all.
var<workgroup> row_tile: array<vec4<f32>, 528>;

// What a thread brings: the same depth of four states, and of four words in either half of the tile. Nothing waits for a branch
// on the way to them: what lies outside is read from where there is something, and not looked at.
struct Quads {
    state: vec4<f32>,
    low: vec4<f32>,
    high: vec4<f32>,
}

fn bring(state: vec4<u32>, low: vec4<u32>, high: vec4<u32>, deep: u32, width: u32) -> Quads {
    let at = min(deep, width - 1u);
    let s = state + at;
    let l = low + at;
    let h = high + at;
    let inside = deep < width;
    return Quads(
        select(vec4<f32>(), vec4<f32>(states[s.x], states[s.y], states[s.z], states[s.w]), inside),
        select(vec4<f32>(), vec4<f32>(rows[l.x], rows[l.y], rows[l.z], rows[l.w]), inside),
        select(vec4<f32>(), vec4<f32>(rows[h.x], rows[h.y], rows[h.z], rows[h.w]), inside),
    );
}

fn put(quads: Quads, depth: u32, quad: u32) {
    state_tile[depth * STATE_QUADS + quad] = quads.state;
    row_tile[depth * ROW_QUADS + quad] = quads.low;
    row_tile[depth * ROW_QUADS + 16u + quad] = quads.high;
}

const UP: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// Where four lines begin, of which there are `count`.
fn lines(first: u32, count: u32, width: u32) -> vec4<u32> {
    return min(first + UP, vec4<u32>(count - 1u)) * width;
}

// The largest logit so far, and the sum of what is raised to what lies below it.
struct Sum {
    most: f32,
    total: f32,
}

fn largest_of(four: vec4<f32>) -> f32 {
    return max(max(four.x, four.y), max(four.z, four.w));
}

fn capped(logits: vec4<f32>, cap: f32) -> vec4<f32> {
    if cap > 0.0 {
        return cap * tanh(logits / cap);
    }
    return logits;
}

// A state's sum with eight more logits; writes the wanted one down if it is among them.
fn joined(sum: Sum, low: vec4<f32>, high: vec4<f32>, word: u32, end: u32, cap: f32, want: u32, state: u32) -> Sum {
    let low_words = word + UP;
    let high_words = low_words + WORDS / 2u;
    let l = select(vec4<f32>(LEAST), capped(low, cap), low_words < vec4<u32>(end));
    let h = select(vec4<f32>(LEAST), capped(high, cap), high_words < vec4<u32>(end));
    let is_low = low_words == vec4<u32>(want);
    let is_high = high_words == vec4<u32>(want);
    if want < end && (any(is_low) || any(is_high)) {
        let zero = vec4<f32>();
        wanted[state] = dot(select(zero, l, is_low) + select(zero, h, is_high), vec4<f32>(1.0));
    }
    let most = max(sum.most, max(largest_of(l), largest_of(h)));
    let raised = exp(l - most) + exp(h - most);
    return Sum(most, sum.total * exp(sum.most - most) + dot(raised, vec4<f32>(1.0)));
}

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
    let end = min((group.x + 1u) * STRIP, words);
    // Neighbours bring neighbours in depth.
    let own_depth = index % DEPTH;
    let own_quad = index / DEPTH;
    let state_lines = lines(group.y * STATES + own_quad * 4u, count, width);

    // A thread's four states, and the word that is wanted of each.
    let state = group.y * STATES + local.y * 4u;
    let own = min(state + UP, vec4<u32>(count - 1u));
    let words_wanted = vec4<u32>(sizes[5u + own.x], sizes[5u + own.y], sizes[5u + own.z], sizes[5u + own.w]);
    let want = select(vec4<u32>(NONE), words_wanted, state + UP < vec4<u32>(count));
    var sum0 = Sum(LEAST, 0.0);
    var sum1 = sum0;
    var sum2 = sum0;
    var sum3 = sum0;
    for (var first = group.x * STRIP; first < end; first += WORDS) {
        var low0 = vec4<f32>();
        var low1 = vec4<f32>();
        var low2 = vec4<f32>();
        var low3 = vec4<f32>();
        var high0 = vec4<f32>();
        var high1 = vec4<f32>();
        var high2 = vec4<f32>();
        var high3 = vec4<f32>();
        let low_lines = lines(first + own_quad * 4u, words, width);
        let high_lines = lines(first + WORDS / 2u + own_quad * 4u, words, width);
        put(bring(state_lines, low_lines, high_lines, own_depth, width), own_depth, own_quad);
        for (var depth = DEPTH; ; depth += DEPTH) {
            workgroupBarrier();
            // What comes next is read while what is there is multiplied.
            let next = bring(state_lines, low_lines, high_lines, depth + own_depth, width);
            for (var k = 0u; k < DEPTH; k += 1u) {
                let s = state_tile[k * STATE_QUADS + local.y];
                let l = row_tile[k * ROW_QUADS + local.x];
                let h = row_tile[k * ROW_QUADS + 16u + local.x];
                low0 += s.x * l;
                low1 += s.y * l;
                low2 += s.z * l;
                low3 += s.w * l;
                high0 += s.x * h;
                high1 += s.y * h;
                high2 += s.z * h;
                high3 += s.w * h;
            }
            workgroupBarrier();
            if depth >= width {
                break;
            }
            put(next, own_depth, own_quad);
        }
        let word = first + local.x * 4u;
        sum0 = joined(sum0, low0, high0, word, end, cap, want.x, state);
        sum1 = joined(sum1, low1, high1, word, end, cap, want.y, state + 1u);
        sum2 = joined(sum2, low2, high2, word, end, cap, want.z, state + 2u);
        sum3 = joined(sum3, low3, high3, word, end, cap, want.w, state + 3u);
    }

    row_tile[index] = vec4<f32>(sum0.most, sum1.most, sum2.most, sum3.most);
    row_tile[THREADS + index] = vec4<f32>(sum0.total, sum1.total, sum2.total, sum3.total);
    workgroupBarrier();
    if index < STATES {
        let row = index / 4u * 16u;
        let part = index % 4u;
        var most = LEAST;
        for (var x = 0u; x < 16u; x += 1u) {
            most = max(most, row_tile[row + x][part]);
        }
        var total = 0.0;
        for (var x = 0u; x < 16u; x += 1u) {
            total += row_tile[THREADS + row + x][part] * exp(row_tile[row + x][part] - most);
        }
        let at = group.y * STATES + index;
        if at < count {
            sums[(at * strips + group.x) * 2u] = most;
            sums[(at * strips + group.x) * 2u + 1u] = total;
        }
    }
}
