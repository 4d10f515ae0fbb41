// The m largest scores of each question with their places, largest first, equal ones in the order of their places.
//
// scores  [questions, passages]
// sizes   questions, passages, m; m is at most passages
// values  [questions, m]  out
// places  [questions, m]  out
//
// A workgroup takes one question. A thread looks after every 256th score and knows its largest that is not taken yet; after
// each round only the thread whose score was taken looks again. Workgroups: questions.
// Twin: `plain` in crates/ragtune-kernels/src/bags.rs.

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> places: array<u32>;
@group(0) @binding(3) var<storage, read> sizes: array<u32>;

const THREADS: u32 = 256u;
const LEAST: f32 = -3.4e38;
const NONE: u32 = 4294967295u;

struct Found {
    value: f32,
    place: u32,
}

var<workgroup> shape: vec2<u32>;
var<workgroup> found: array<Found, 256>;

// The largest score of a thread that comes behind `last` in the order.
fn behind(first: u32, passages: u32, index: u32, last: Found) -> Found {
    var best = Found(LEAST, NONE);
    for (var at = index; at < passages; at += THREADS) {
        let score = scores[first + at];
        let untaken = last.place == NONE || score < last.value || (score == last.value && at > last.place);
        if untaken && (best.place == NONE || score > best.value) {
            best = Found(score, at);
        }
    }
    return best;
}

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    if index == 0u {
        shape = vec2<u32>(sizes[1], sizes[2]);
    }
    let all = workgroupUniformLoad(&shape);
    let passages = all.x;
    let count = all.y;
    let first = group.x * passages;
    var own = behind(first, passages, index, Found(LEAST, NONE));
    for (var round = 0u; round < count; round += 1u) {
        found[index] = own;
        workgroupBarrier();
        for (var step = THREADS / 2u; step > 0u; step /= 2u) {
            if index < step {
                let mine = found[index];
                let other = found[index + step];
                let larger = other.value > mine.value || (other.value == mine.value && other.place < mine.place);
                if other.place != NONE && (mine.place == NONE || larger) {
                    found[index] = other;
                }
            }
            workgroupBarrier();
        }
        let taken = found[0];
        if index == 0u {
            values[group.x * count + round] = taken.value;
            places[group.x * count + round] = taken.place;
        }
        if taken.place != NONE && taken.place % THREADS == index {
            own = behind(first, passages, index, taken);
        }
        workgroupBarrier();
    }
}
