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
// Lanes that share a row of a square, and how many of its positions each has.
const SHARERS: u32 = LANES / UNIT;
const SHARE: u32 = UNIT / SHARERS;

var<workgroup> row_tile: array<vec4<f16>, TILE * LINE>;
var<workgroup> state_tile: array<vec4<f16>, TILE * LINE>;
// A square for each subgroup, its rows beside each other; in the end what each lane found.
var<workgroup> finished: array<f32, 8u * SQUARE>;
var<workgroup> shape: vec4<u32>;

struct Best {
    value: f32,
    at: u32,
}

struct Text {
    // Where its states begin, in quads, and how many are real.
    start: u32,
    positions: u32,
    dims: u32,
    // Quads of a row.
    width: u32,
}

fn row_quad(text: Text, first: u32, deep: u32, at: u32) -> vec4<f32> {
    let row = first + at / DEEP_QUADS;
    let quad = deep / 4u + at % DEEP_QUADS;
    if quad < text.width && row < text.dims {
        return rows[row * text.width + quad];
    }
    return vec4<f32>();
}

fn state_quad(text: Text, first: u32, deep: u32, at: u32) -> vec4<f32> {
    let position = first + at / DEEP_QUADS;
    let quad = deep / 4u + at % DEEP_QUADS;
    if quad < text.width && position < text.positions {
        return states[text.start + position * text.width + quad];
    }
    return vec4<f32>();
}

fn quad_place(at: u32) -> u32 {
    return at / DEEP_QUADS * LINE + at % DEEP_QUADS;
}

fn row_square(row: u32, deep: u32) -> LeftSquare {
    return coopLoadT<LeftSquare>(&row_tile[row * LINE + deep / 4u], LINE);
}

fn state_square(position: u32, deep: u32) -> RightSquare {
    return coopLoad<RightSquare>(&state_tile[position * LINE + deep / 4u], LINE);
}

// The better of what was found and the sums of a square whose positions begin there.
fn better(best: Best, sums: Sums, first: u32, positions: u32, subgroup: u32, lane: u32) -> Best {
    coopStore(sums, &finished[subgroup * SQUARE], UNIT);
    workgroupBarrier();
    var found = best;
    let column = lane / UNIT * SHARE;
    for (var at = column; at < column + SHARE; at += 1u) {
        let value = finished[subgroup * SQUARE + at * UNIT + lane % UNIT];
        if value > found.value && first + at < positions {
            found = Best(value, first + at);
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
    let text = Text(group.x * all.x * all.y, all.w, all.z, all.y);
    let first_row = group.y * TILE;
    // The subgroup's squares in the tile.
    let row = subgroup / 4u * 4u * UNIT;
    let position = subgroup % 4u * 2u * UNIT;

    var best0 = Best(-3.4e38, 0u);
    var best1 = best0;
    var best2 = best0;
    var best3 = best0;
    for (var first = 0u; first < text.positions; first += TILE) {
        var s00 = Sums();
        var s01 = Sums();
        var s10 = Sums();
        var s11 = Sums();
        var s20 = Sums();
        var s21 = Sums();
        var s30 = Sums();
        var s31 = Sums();
        // What comes next is read while what is there is multiplied.
        var deep = 0u;
        var l0 = row_quad(text, first_row, deep, index);
        var r0 = state_quad(text, first, deep, index);
        var l1 = vec4<f32>();
        var r1 = vec4<f32>();
        var l2 = vec4<f32>();
        var r2 = vec4<f32>();
        var l3 = vec4<f32>();
        var r3 = vec4<f32>();
        if THREADS < QUADS {
            l1 = row_quad(text, first_row, deep, index + THREADS);
            r1 = state_quad(text, first, deep, index + THREADS);
        }
        if 2u * THREADS < QUADS {
            l2 = row_quad(text, first_row, deep, index + 2u * THREADS);
            r2 = state_quad(text, first, deep, index + 2u * THREADS);
            l3 = row_quad(text, first_row, deep, index + 3u * THREADS);
            r3 = state_quad(text, first, deep, index + 3u * THREADS);
        }
        while deep < 4u * text.width {
            row_tile[quad_place(index)] = vec4<f16>(l0);
            state_tile[quad_place(index)] = vec4<f16>(r0);
            if THREADS < QUADS {
                row_tile[quad_place(index + THREADS)] = vec4<f16>(l1);
                state_tile[quad_place(index + THREADS)] = vec4<f16>(r1);
            }
            if 2u * THREADS < QUADS {
                row_tile[quad_place(index + 2u * THREADS)] = vec4<f16>(l2);
                state_tile[quad_place(index + 2u * THREADS)] = vec4<f16>(r2);
                row_tile[quad_place(index + 3u * THREADS)] = vec4<f16>(l3);
                state_tile[quad_place(index + 3u * THREADS)] = vec4<f16>(r3);
            }
            workgroupBarrier();
            deep += DEEP;
            l0 = row_quad(text, first_row, deep, index);
            r0 = state_quad(text, first, deep, index);
            if THREADS < QUADS {
                l1 = row_quad(text, first_row, deep, index + THREADS);
                r1 = state_quad(text, first, deep, index + THREADS);
            }
            if 2u * THREADS < QUADS {
                l2 = row_quad(text, first_row, deep, index + 2u * THREADS);
                r2 = state_quad(text, first, deep, index + 2u * THREADS);
                l3 = row_quad(text, first_row, deep, index + 3u * THREADS);
                r3 = state_quad(text, first, deep, index + 3u * THREADS);
            }
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
        }
        let own = first + position;
        best0 = better(best0, s00, own, text.positions, subgroup, lane);
        best0 = better(best0, s01, own + UNIT, text.positions, subgroup, lane);
        best1 = better(best1, s10, own, text.positions, subgroup, lane);
        best1 = better(best1, s11, own + UNIT, text.positions, subgroup, lane);
        best2 = better(best2, s20, own, text.positions, subgroup, lane);
        best2 = better(best2, s21, own + UNIT, text.positions, subgroup, lane);
        best3 = better(best3, s30, own, text.positions, subgroup, lane);
        best3 = better(best3, s31, own + UNIT, text.positions, subgroup, lane);
    }
    let lane_of_all = subgroup * LANES + lane;
    write(best0, group.x, first_row, text.dims, index, lane_of_all);
    write(best1, group.x, first_row + UNIT, text.dims, index, lane_of_all);
    write(best2, group.x, first_row + 2u * UNIT, text.dims, index, lane_of_all);
    write(best3, group.x, first_row + 3u * UNIT, text.dims, index, lane_of_all);
}
