enable f16;
enable wgpu_cooperative_matrix;

// Products on a card's matrix units: sums in 32 bits of products of numbers that are rounded to 16 bits on their way in.
// For batches of two indices: out[a, b, row, column] = sum over depth of left[a, b, row, depth] right[a, b, column, depth].
//
// left    [.., rows, depth]     in quads; where LEFT_TURNED, its rows lie behind each other instead of its depth
// right   [.., columns, depth]  in quads; where RIGHT_TURNED likewise
// largest [1]                   the largest size in left, to scale it by, read where SCALED
// bias    [columns]             in quads, read where BIASED
// sizes   see below; what lies behind each other is a multiple of 4, and so is every stride
// out     [parts, .., rows, columns] in quads
//
// A workgroup takes a tile of 8 x 8 squares of the units, its 8 subgroups 4 x 2 of them each. A depth may be divided in parts,
// whose sums are written one behind the other. Workgroups: ceil(columns / tile) x ceil(rows / tile) x (batches x parts).
// Twin: `products` in crates/ragtune-kernels/src/units.rs. What is set below is set anew for each device and call.

const UNIT: u32 = 16u;
const LANES: u32 = 32u;
const LEFT_TURNED: u32 = 0u;
const RIGHT_TURNED: u32 = 0u;
const SCALED: bool = false;
const BIASED: bool = false;
alias LeftSquare = coop_mat16x16<f16, A>;
alias RightSquare = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
alias LeftQuad = vec4<f32>;
alias RightQuad = vec4<f32>;

struct Sizes {
    rows: u32,
    columns: u32,
    depth: u32,
    // How many second indices a batch has, in how many parts the depth is divided, and how deep each is.
    seconds: u32,
    parts: u32,
    part: u32,
    // Strides, in quads: of what is not behind each other, of the first and of the second index.
    left: u32,
    left_first: u32,
    left_second: u32,
    right: u32,
    right_first: u32,
    right_second: u32,
    out: u32,
    out_first: u32,
    out_second: u32,
    out_part: u32,
}

@group(0) @binding(0) var<storage, read_write> left: array<LeftQuad>;
@group(0) @binding(1) var<storage, read_write> right: array<RightQuad>;
@group(0) @binding(2) var<storage, read_write> largest: array<f32>;
@group(0) @binding(3) var<storage, read_write> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> sizes: Sizes;

const TILE: u32 = 8u * UNIT;
const DEEP: u32 = 2u * UNIT;
const THREADS: u32 = 8u * LANES;
// Quads of a side's tile, of a line of it, and from one line to the next: two more, so that lines begin in other banks.
const QUADS: u32 = TILE * DEEP / 4u;
const DEEP_QUADS: u32 = DEEP / 4u;
const TILE_QUADS: u32 = TILE / 4u;
const LEFT_LINE: u32 = 2u + DEEP_QUADS * (1u - LEFT_TURNED) + TILE_QUADS * LEFT_TURNED;
const RIGHT_LINE: u32 = 2u + DEEP_QUADS * (1u - RIGHT_TURNED) + TILE_QUADS * RIGHT_TURNED;
const SQUARE_QUADS: u32 = UNIT * UNIT / 4u;
const UNIT_QUADS: u32 = UNIT / 4u;

var<workgroup> left_tile: array<vec4<f16>, TILE * (DEEP_QUADS + 2u)>;
var<workgroup> right_tile: array<vec4<f16>, TILE * (DEEP_QUADS + 2u)>;
var<workgroup> finished: array<vec4<f32>, 8u * SQUARE_QUADS>;

// A power of two that brings the left side to a largest size of 2^14 .. 2^15, which 16 bits just hold, and what undoes it.
fn scale() -> vec2<f32> {
    if SCALED {
        let bits = bitcast<u32>(largest[0]);
        if bits > 0u {
            let up = clamp(141 - i32(bits >> 23u), -100, 100);
            return vec2<f32>(bitcast<f32>(u32(127 + up) << 23u), bitcast<f32>(u32(127 - up) << 23u));
        }
    }
    return vec2<f32>(1.0);
}

// What a thread brings of a side: quad `at` of a tile that begins there.
fn left_quad(start: u32, first: u32, deep: u32, end: u32, at: u32) -> vec4<f32> {
    if LEFT_TURNED == 1u {
        let depth = deep + at / TILE_QUADS;
        let row = first + 4u * (at % TILE_QUADS);
        if depth < end && row < sizes.rows {
            return vec4<f32>(left[start + depth * sizes.left + row / 4u]);
        }
        return vec4<f32>();
    }
    let row = first + at / DEEP_QUADS;
    let depth = deep + 4u * (at % DEEP_QUADS);
    if depth < end && row < sizes.rows {
        return vec4<f32>(left[start + row * sizes.left + depth / 4u]);
    }
    return vec4<f32>();
}

fn right_quad(start: u32, first: u32, deep: u32, end: u32, at: u32) -> vec4<f32> {
    if RIGHT_TURNED == 1u {
        let depth = deep + at / TILE_QUADS;
        let column = first + 4u * (at % TILE_QUADS);
        if depth < end && column < sizes.columns {
            return vec4<f32>(right[start + depth * sizes.right + column / 4u]);
        }
        return vec4<f32>();
    }
    let column = first + at / DEEP_QUADS;
    let depth = deep + 4u * (at % DEEP_QUADS);
    if depth < end && column < sizes.columns {
        return vec4<f32>(right[start + column * sizes.right + depth / 4u]);
    }
    return vec4<f32>();
}

// Where that quad lies in the tile.
fn left_place(at: u32) -> u32 {
    let line = DEEP_QUADS * (1u - LEFT_TURNED) + TILE_QUADS * LEFT_TURNED;
    return at / line * LEFT_LINE + at % line;
}

fn right_place(at: u32) -> u32 {
    let line = DEEP_QUADS * (1u - RIGHT_TURNED) + TILE_QUADS * RIGHT_TURNED;
    return at / line * RIGHT_LINE + at % line;
}

fn left_square(row: u32, deep: u32) -> LeftSquare {
    if LEFT_TURNED == 1u {
        return coopLoad<LeftSquare>(&left_tile[deep * LEFT_LINE + row / 4u], LEFT_LINE);
    }
    return coopLoadT<LeftSquare>(&left_tile[row * LEFT_LINE + deep / 4u], LEFT_LINE);
}

fn right_square(column: u32, deep: u32) -> RightSquare {
    if RIGHT_TURNED == 1u {
        return coopLoadT<RightSquare>(&right_tile[deep * RIGHT_LINE + column / 4u], RIGHT_LINE);
    }
    return coopLoad<RightSquare>(&right_tile[column * RIGHT_LINE + deep / 4u], RIGHT_LINE);
}

// Writes a square of sums that begins there.
fn write(sums: Sums, start: u32, row: u32, column: u32, back: f32, subgroup: u32, lane: u32) {
    let own = subgroup * SQUARE_QUADS;
    coopStoreT(sums, &finished[own], UNIT_QUADS);
    workgroupBarrier();
    for (var at = lane; at < SQUARE_QUADS; at += LANES) {
        let r = row + at / UNIT_QUADS;
        let c = column + 4u * (at % UNIT_QUADS);
        if r < sizes.rows && c < sizes.columns {
            var value = back * finished[own + at];
            if BIASED {
                value += bias[c / 4u];
            }
            out[start + r * sizes.out + c / 4u] = value;
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
    let part = group.z % sizes.parts;
    let first = group.z / sizes.parts / sizes.seconds;
    let second = group.z / sizes.parts % sizes.seconds;
    let left_start = first * sizes.left_first + second * sizes.left_second;
    let right_start = first * sizes.right_first + second * sizes.right_second;
    let out_start = part * sizes.out_part + first * sizes.out_first + second * sizes.out_second;
    let tile_row = group.y * TILE;
    let tile_column = group.x * TILE;
    let end = min(sizes.depth, (part + 1u) * sizes.part);
    let there_and_back = scale();
    let up = there_and_back.x;
    // The subgroup's squares in the tile.
    let row = subgroup / 4u * 4u * UNIT;
    let column = subgroup % 4u * 2u * UNIT;

    var s00 = Sums();
    var s01 = Sums();
    var s10 = Sums();
    var s11 = Sums();
    var s20 = Sums();
    var s21 = Sums();
    var s30 = Sums();
    var s31 = Sums();

    // What comes next is read while what is there is multiplied.
    var deep = part * sizes.part;
    var l0 = left_quad(left_start, tile_row, deep, end, index);
    var r0 = right_quad(right_start, tile_column, deep, end, index);
    var l1 = vec4<f32>();
    var r1 = vec4<f32>();
    var l2 = vec4<f32>();
    var r2 = vec4<f32>();
    var l3 = vec4<f32>();
    var r3 = vec4<f32>();
    if THREADS < QUADS {
        l1 = left_quad(left_start, tile_row, deep, end, index + THREADS);
        r1 = right_quad(right_start, tile_column, deep, end, index + THREADS);
    }
    if 2u * THREADS < QUADS {
        l2 = left_quad(left_start, tile_row, deep, end, index + 2u * THREADS);
        r2 = right_quad(right_start, tile_column, deep, end, index + 2u * THREADS);
        l3 = left_quad(left_start, tile_row, deep, end, index + 3u * THREADS);
        r3 = right_quad(right_start, tile_column, deep, end, index + 3u * THREADS);
    }
    while deep < end {
        left_tile[left_place(index)] = vec4<f16>(up * l0);
        right_tile[right_place(index)] = vec4<f16>(r0);
        if THREADS < QUADS {
            left_tile[left_place(index + THREADS)] = vec4<f16>(up * l1);
            right_tile[right_place(index + THREADS)] = vec4<f16>(r1);
        }
        if 2u * THREADS < QUADS {
            left_tile[left_place(index + 2u * THREADS)] = vec4<f16>(up * l2);
            right_tile[right_place(index + 2u * THREADS)] = vec4<f16>(r2);
            left_tile[left_place(index + 3u * THREADS)] = vec4<f16>(up * l3);
            right_tile[right_place(index + 3u * THREADS)] = vec4<f16>(r3);
        }
        workgroupBarrier();
        deep += DEEP;
        l0 = left_quad(left_start, tile_row, deep, end, index);
        r0 = right_quad(right_start, tile_column, deep, end, index);
        if THREADS < QUADS {
            l1 = left_quad(left_start, tile_row, deep, end, index + THREADS);
            r1 = right_quad(right_start, tile_column, deep, end, index + THREADS);
        }
        if 2u * THREADS < QUADS {
            l2 = left_quad(left_start, tile_row, deep, end, index + 2u * THREADS);
            r2 = right_quad(right_start, tile_column, deep, end, index + 2u * THREADS);
            l3 = left_quad(left_start, tile_row, deep, end, index + 3u * THREADS);
            r3 = right_quad(right_start, tile_column, deep, end, index + 3u * THREADS);
        }
        for (var half = 0u; half < DEEP; half += UNIT) {
            let right0 = right_square(column, half);
            let right1 = right_square(column + UNIT, half);
            let left0 = left_square(row, half);
            s00 = coopMultiplyAdd(left0, right0, s00);
            s01 = coopMultiplyAdd(left0, right1, s01);
            let left1 = left_square(row + UNIT, half);
            s10 = coopMultiplyAdd(left1, right0, s10);
            s11 = coopMultiplyAdd(left1, right1, s11);
            let left2 = left_square(row + 2u * UNIT, half);
            s20 = coopMultiplyAdd(left2, right0, s20);
            s21 = coopMultiplyAdd(left2, right1, s21);
            let left3 = left_square(row + 3u * UNIT, half);
            s30 = coopMultiplyAdd(left3, right0, s30);
            s31 = coopMultiplyAdd(left3, right1, s31);
        }
        workgroupBarrier();
    }

    let back = there_and_back.y;
    let r = tile_row + row;
    let c = tile_column + column;
    write(s00, out_start, r, c, back, subgroup, lane);
    write(s01, out_start, r, c + UNIT, back, subgroup, lane);
    write(s10, out_start, r + UNIT, c, back, subgroup, lane);
    write(s11, out_start, r + UNIT, c + UNIT, back, subgroup, lane);
    write(s20, out_start, r + 2u * UNIT, c, back, subgroup, lane);
    write(s21, out_start, r + 2u * UNIT, c + UNIT, back, subgroup, lane);
    write(s30, out_start, r + 3u * UNIT, c, back, subgroup, lane);
    write(s31, out_start, r + 3u * UNIT, c + UNIT, back, subgroup, lane);
}
