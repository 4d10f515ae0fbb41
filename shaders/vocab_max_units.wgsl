enable f16;
enable wgpu_cooperative_matrix;

// The vocabulary head on a card's matrix units: as vocab_max.wgsl, of numbers that are rounded to 16 bits on their way in, summed
// in 32.
//
// states  [batch, length, width]   hidden states, padded; in quads
// rows    [dims, width]            word embeddings, in quads
// sizes   batch, length, width, dims, then the number of real positions of each text, each at least 1
// largest [batch, dims]            out
// place   [batch, dims]            out
//
// A workgroup takes 8 x UNIT rows of one text and goes through its positions, as many at a time; its 8 subgroups take 4 x 2
// squares of the units each. A lane keeps the best of a part of a row's positions. The width is a multiple of 4.
// Workgroups: batch x ceil(dims / tile): neighbours read the same rows.
// Twin: `vocab_max_rows` in crates/ragtune-kernels/src/vocab_max.rs. UNIT and LANES are set anew for each device.

const UNIT: u32 = 16u;
const LANES: u32 = 32u;
alias LeftSquare = coop_mat16x16<f16, A>;
alias RightSquare = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

@group(0) @binding(0) var<storage, read_write> states: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> largest: array<f32>;
@group(0) @binding(3) var<storage, read_write> place: array<u32>;
@group(0) @binding(4) var<storage, read> sizes: array<u32>;

const TILE: u32 = 8u * UNIT;
const DEEP: u32 = 2u * UNIT;
const THREADS: u32 = 8u * LANES;
const QUADS: u32 = TILE * DEEP / 4u;
const DEEP_QUADS: u32 = DEEP / 4u;
const LINE: u32 = DEEP_QUADS + 2u;
const SQUARE: u32 = UNIT * UNIT;
const PAIR: u32 = 2u * UNIT * UNIT;
// Lanes that share a row of two squares.
const SHARERS: u32 = LANES / UNIT;

var<workgroup> row_tile: array<vec4<f16>, TILE * LINE>;
var<workgroup> state_tile: array<vec4<f16>, TILE * LINE>;
// Two squares for each subgroup, their rows beside each other; in the end what each lane found.
var<workgroup> finished: array<f32, 8u * PAIR>;
var<workgroup> shape: vec4<u32>;

struct Best {
    value: f32,
    at: u32,
}

// Where a thread's quads of a tile's lines begin. Nothing waits for a branch on the way to them: what lies outside is read from
// where there is something, and not looked at.
struct Lines {
    first: u32,
    second: u32,
    third: u32,
    fourth: u32,
}

// For lines of `width` quads that begin at `start`, of which there are `count` and the tile takes those from `line` on.
fn lines(start: u32, line: u32, count: u32, width: u32, index: u32) -> Lines {
    let own = line + index / DEEP_QUADS;
    let last = count - 1u;
    return Lines(
        start + min(own, last) * width,
        start + min(own + THREADS / DEEP_QUADS, last) * width,
        start + min(own + 2u * THREADS / DEEP_QUADS, last) * width,
        start + min(own + 3u * THREADS / DEEP_QUADS, last) * width,
    );
}

// What a thread brings of rows and states for a step in depth.
struct Quads {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
    s0: vec4<f32>,
    s1: vec4<f32>,
    s2: vec4<f32>,
    s3: vec4<f32>,
}

fn bring(row: Lines, state: Lines, quad: u32, width: u32) -> Quads {
    let inside = quad < width;
    let at = min(quad, width - 1u);
    var quads: Quads;
    quads.r0 = select(vec4<f32>(), rows[row.first + at], inside);
    quads.s0 = select(vec4<f32>(), states[state.first + at], inside);
    if THREADS < QUADS {
        quads.r1 = select(vec4<f32>(), rows[row.second + at], inside);
        quads.s1 = select(vec4<f32>(), states[state.second + at], inside);
    }
    if 2u * THREADS < QUADS {
        quads.r2 = select(vec4<f32>(), rows[row.third + at], inside);
        quads.s2 = select(vec4<f32>(), states[state.third + at], inside);
        quads.r3 = select(vec4<f32>(), rows[row.fourth + at], inside);
        quads.s3 = select(vec4<f32>(), states[state.fourth + at], inside);
    }
    return quads;
}

fn quad_place(at: u32) -> u32 {
    return at / DEEP_QUADS * LINE + at % DEEP_QUADS;
}

fn put(quads: Quads, index: u32) {
    row_tile[quad_place(index)] = vec4<f16>(quads.r0);
    state_tile[quad_place(index)] = vec4<f16>(quads.s0);
    if THREADS < QUADS {
        row_tile[quad_place(index + THREADS)] = vec4<f16>(quads.r1);
        state_tile[quad_place(index + THREADS)] = vec4<f16>(quads.s1);
    }
    if 2u * THREADS < QUADS {
        row_tile[quad_place(index + 2u * THREADS)] = vec4<f16>(quads.r2);
        state_tile[quad_place(index + 2u * THREADS)] = vec4<f16>(quads.s2);
        row_tile[quad_place(index + 3u * THREADS)] = vec4<f16>(quads.r3);
        state_tile[quad_place(index + 3u * THREADS)] = vec4<f16>(quads.s3);
    }
}

fn row_square(row: u32, deep: u32) -> LeftSquare {
    return coopLoadT<LeftSquare>(&row_tile[row * LINE + deep / 4u], LINE);
}

fn state_square(position: u32, deep: u32) -> RightSquare {
    return coopLoad<RightSquare>(&state_tile[position * LINE + deep / 4u], LINE);
}

// The better of what was found and the sums of two squares, whose positions begin there.
fn better(best: Best, low: Sums, high: Sums, first: u32, positions: u32, own: u32, lane: u32) -> Best {
    coopStore(low, &finished[own], UNIT);
    coopStore(high, &finished[own + PAIR / 2u], UNIT);
    workgroupBarrier();
    var found = best;
    for (var at = lane; at < PAIR; at += LANES) {
        let value = finished[own + at];
        let position = first + at / UNIT;
        if value > found.value && position < positions {
            found = Best(value, position);
        }
    }
    workgroupBarrier();
    return found;
}

// Writes the best of each row of the squares that begin at `row` of both halves of the tile, from what the lanes found.
fn write(best: Best, text: u32, row: u32, dims: u32, index: u32, own: u32) {
    finished[2u * own] = best.value;
    finished[2u * own + 1u] = bitcast<f32>(best.at);
    workgroupBarrier();
    if index < 2u * UNIT {
        let half = index / UNIT;
        var found = Best(-3.4e38, 0u);
        for (var other = 0u; other < 4u * SHARERS; other += 1u) {
            let subgroup = 4u * half + other / SHARERS;
            let slot = 2u * (subgroup * LANES + other % SHARERS * UNIT + index % UNIT);
            let value = finished[slot];
            let at = bitcast<u32>(finished[slot + 1u]);
            if value > found.value || (value == found.value && at < found.at) {
                found = Best(value, at);
            }
        }
        let dim = row + half * 4u * UNIT + index % UNIT;
        if dim < dims {
            largest[text * dims + dim] = found.value;
            place[text * dims + dim] = found.at;
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    if index == 0u {
        shape = vec4<u32>(sizes[1], sizes[2] / 4u, sizes[3], sizes[4u + group.x]);
    }
    let all = workgroupUniformLoad(&shape);
    let width = all.y;
    let dims = all.z;
    let positions = all.w;
    let text_start = group.x * all.x * width;
    let first_row = group.y * TILE;
    // The subgroup's squares in the tile, and its memory.
    let row = subgroup / 4u * 4u * UNIT;
    let position = subgroup % 4u * 2u * UNIT;
    let own = subgroup * PAIR;
    let row_lines = lines(0u, first_row, dims, width, index);

    var best0 = Best(-3.4e38, 0u);
    var best1 = best0;
    var best2 = best0;
    var best3 = best0;
    for (var first = 0u; first < positions; first += TILE) {
        var s00 = Sums();
        var s01 = Sums();
        var s10 = Sums();
        var s11 = Sums();
        var s20 = Sums();
        var s21 = Sums();
        var s30 = Sums();
        var s31 = Sums();
        let state_lines = lines(text_start, first, positions, width, index);
        var quad = index % DEEP_QUADS;
        put(bring(row_lines, state_lines, quad, width), index);
        for (var deep = DEEP_QUADS; ; deep += DEEP_QUADS) {
            workgroupBarrier();
            // What comes next is read while what is there is multiplied.
            quad += DEEP_QUADS;
            let next = bring(row_lines, state_lines, quad, width);
            for (var half = 0u; half < DEEP; half += UNIT) {
                let right0 = state_square(position, half);
                let right1 = state_square(position + UNIT, half);
                let left0 = row_square(row, half);
                s00 = coopMultiplyAdd(left0, right0, s00);
                s01 = coopMultiplyAdd(left0, right1, s01);
                let left1 = row_square(row + UNIT, half);
                s10 = coopMultiplyAdd(left1, right0, s10);
                s11 = coopMultiplyAdd(left1, right1, s11);
                let left2 = row_square(row + 2u * UNIT, half);
                s20 = coopMultiplyAdd(left2, right0, s20);
                s21 = coopMultiplyAdd(left2, right1, s21);
                let left3 = row_square(row + 3u * UNIT, half);
                s30 = coopMultiplyAdd(left3, right0, s30);
                s31 = coopMultiplyAdd(left3, right1, s31);
            }
            workgroupBarrier();
            if deep >= width {
                break;
            }
            put(next, index);
        }
        let begin = first + position;
        best0 = better(best0, s00, s01, begin, positions, own, lane);
        best1 = better(best1, s10, s11, begin, positions, own, lane);
        best2 = better(best2, s20, s21, begin, positions, own, lane);
        best3 = better(best3, s30, s31, begin, positions, own, lane);
    }
    let lane_of_all = subgroup * LANES + lane;
    write(best0, group.x, first_row, dims, index, lane_of_all);
    write(best1, group.x, first_row + UNIT, dims, index, lane_of_all);
    write(best2, group.x, first_row + 2u * UNIT, dims, index, lane_of_all);
    write(best3, group.x, first_row + 3u * UNIT, dims, index, lane_of_all);
}
