enable f16;
enable wgpu_cooperative_matrix;

// Products as product.wgsl's on a card's matrix units: sums in 32 bits of products of numbers that are rounded to 16 bits on
// their way in.
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
// Twin: `products` in crates/ragtune-kernels/src/on_gpu.rs. What is set below is set anew for each device and call.

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
const PAIR_QUADS: u32 = UNIT / 2u;

var<workgroup> left_tile: array<vec4<f16>, TILE * (DEEP_QUADS + 2u)>;
var<workgroup> right_tile: array<vec4<f16>, TILE * (DEEP_QUADS + 2u)>;
// Two squares beside each other for each subgroup.
var<workgroup> finished: array<vec4<f32>, 16u * SQUARE_QUADS>;

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

// The lines of a side that a workgroup goes through. Nothing waits for a branch on the way: what lies outside is read from
// where there is something, and becomes 0 where it would be added.
struct Lines {
    // Where a thread's first quad lies, and its others from there.
    first: u32,
    second: u32,
    third: u32,
    fourth: u32,
    // The depth of the first, in what it counts, and of each next one behind it.
    deep: u32,
    deeper: u32,
}

// A thread's lines of a side that begins at `start` and has `rows` rows, of which the tile takes those from `row` on.
fn lines(turned: u32, start: u32, stride: u32, row: u32, rows: u32, index: u32) -> Lines {
    if turned == 1u {
        let first = start + min(row / 4u + index % TILE_QUADS, rows / 4u - 1u);
        return Lines(first, first, first, first, index / TILE_QUADS, THREADS / TILE_QUADS);
    }
    let own = row + index / DEEP_QUADS;
    let last = rows - 1u;
    return Lines(
        start + min(own, last) * stride,
        start + min(own + THREADS / DEEP_QUADS, last) * stride,
        start + min(own + 2u * THREADS / DEEP_QUADS, last) * stride,
        start + min(own + 3u * THREADS / DEEP_QUADS, last) * stride,
        4u * (index % DEEP_QUADS),
        0u,
    );
}

// What is to be added to where a line lies, for a depth below `end`.
fn along(turned: u32, depth: u32, end: u32, stride: u32) -> u32 {
    if turned == 1u {
        return min(depth, end - 1u) * stride;
    }
    return min(depth, end - 4u) / 4u;
}

fn left_quad(line: u32, depth: u32, end: u32, stride: u32) -> vec4<f32> {
    let quad = vec4<f32>(left[line + along(LEFT_TURNED, depth, end, stride)]);
    return select(vec4<f32>(), quad, depth < end);
}

fn right_quad(line: u32, depth: u32, end: u32, stride: u32) -> vec4<f32> {
    let quad = vec4<f32>(right[line + along(RIGHT_TURNED, depth, end, stride)]);
    return select(vec4<f32>(), quad, depth < end);
}

// Where a quad lies in a tile.
fn place(turned: u32, at: u32) -> u32 {
    if turned == 1u {
        return at / TILE_QUADS * (TILE_QUADS + 2u) + at % TILE_QUADS;
    }
    return at / DEEP_QUADS * (DEEP_QUADS + 2u) + at % DEEP_QUADS;
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

// What a thread brings of both sides for a step in depth.
struct Quads {
    l0: vec4<f32>,
    l1: vec4<f32>,
    l2: vec4<f32>,
    l3: vec4<f32>,
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
}

fn bring(l: Lines, r: Lines, deep: u32, end: u32, all: Sizes) -> Quads {
    let ld = deep + l.deep;
    let rd = deep + r.deep;
    var quads: Quads;
    quads.l0 = left_quad(l.first, ld, end, all.left);
    quads.r0 = right_quad(r.first, rd, end, all.right);
    if THREADS < QUADS {
        quads.l1 = left_quad(l.second, ld + l.deeper, end, all.left);
        quads.r1 = right_quad(r.second, rd + r.deeper, end, all.right);
    }
    if 2u * THREADS < QUADS {
        quads.l2 = left_quad(l.third, ld + 2u * l.deeper, end, all.left);
        quads.r2 = right_quad(r.third, rd + 2u * r.deeper, end, all.right);
        quads.l3 = left_quad(l.fourth, ld + 3u * l.deeper, end, all.left);
        quads.r3 = right_quad(r.fourth, rd + 3u * r.deeper, end, all.right);
    }
    return quads;
}

fn put(quads: Quads, up: f32, index: u32) {
    left_tile[place(LEFT_TURNED, index)] = vec4<f16>(up * quads.l0);
    right_tile[place(RIGHT_TURNED, index)] = vec4<f16>(quads.r0);
    if THREADS < QUADS {
        left_tile[place(LEFT_TURNED, index + THREADS)] = vec4<f16>(up * quads.l1);
        right_tile[place(RIGHT_TURNED, index + THREADS)] = vec4<f16>(quads.r1);
    }
    if 2u * THREADS < QUADS {
        left_tile[place(LEFT_TURNED, index + 2u * THREADS)] = vec4<f16>(up * quads.l2);
        right_tile[place(RIGHT_TURNED, index + 2u * THREADS)] = vec4<f16>(quads.r2);
        left_tile[place(LEFT_TURNED, index + 3u * THREADS)] = vec4<f16>(up * quads.l3);
        right_tile[place(RIGHT_TURNED, index + 3u * THREADS)] = vec4<f16>(quads.r3);
    }
}

// Where a lane writes what its subgroup has summed.
struct Target {
    start: u32,
    row: u32,
    column: u32,
    lane: u32,
    // Of the subgroup's memory.
    own: u32,
}

// Writes two squares of sums, one beside the other, `down` rows below where its target begins.
fn write(first: Sums, second: Sums, to: Target, down: u32, back: f32, added: vec4<f32>, all: Sizes) {
    coopStoreT(first, &finished[to.own], PAIR_QUADS);
    coopStoreT(second, &finished[to.own + UNIT_QUADS], PAIR_QUADS);
    workgroupBarrier();
    for (var at = to.lane; at < 2u * SQUARE_QUADS; at += LANES) {
        let row = to.row + down + at / PAIR_QUADS;
        if row < all.rows && to.column < all.columns {
            out[to.start + row * all.out + to.column / 4u] = back * finished[to.own + at] + added;
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
    // Read once: in a loop a driver may read them again.
    let all = sizes;
    let part = group.z % all.parts;
    let first = group.z / all.parts / all.seconds;
    let second = group.z / all.parts % all.seconds;
    let tile_row = group.y * TILE;
    let tile_column = group.x * TILE;
    let end = min(all.depth, (part + 1u) * all.part);
    let there_and_back = scale();
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

    let left_start = first * all.left_first + second * all.left_second;
    let right_start = first * all.right_first + second * all.right_second;
    let l = lines(LEFT_TURNED, left_start, all.left, tile_row, all.rows, index);
    let r = lines(RIGHT_TURNED, right_start, all.right, tile_column, all.columns, index);
    var deep = part * all.part;
    put(bring(l, r, deep, end, all), there_and_back.x, index);
    loop {
        workgroupBarrier();
        // What comes next is read while what is there is multiplied.
        deep += DEEP;
        let next = bring(l, r, deep, end, all);
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
        if deep >= end {
            break;
        }
        put(next, there_and_back.x, index);
    }

    let out_start = part * all.out_part + first * all.out_first + second * all.out_second;
    let own_column = tile_column + column + 4u * (lane % PAIR_QUADS);
    let to = Target(out_start, tile_row + row, own_column, lane, subgroup * 2u * SQUARE_QUADS);
    var added = vec4<f32>();
    if BIASED {
        added = bias[min(own_column, all.columns - 4u) / 4u];
    }
    let back = there_and_back.y;
    write(s00, s01, to, 0u, back, added, all);
    write(s10, s11, to, UNIT, back, added, all);
    write(s20, s21, to, 2u * UNIT, back, added, all);
    write(s30, s31, to, 3u * UNIT, back, added, all);
}
