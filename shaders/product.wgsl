// Products of numbers in 32 bits, for batches of two indices: out[a, b, row, column] = sum over depth of
// left[a, b, row, depth] right[a, b, column, depth] + bias[column].
//
// left    [.., rows, depth]     a view: any strides
// right   [.., columns, depth]  likewise
// bias    [columns]             read where BIASED
// out     [parts, .., rows, columns]
// sizes   see below
//
// A workgroup takes a tile of 128 x 128, a thread 8 x 8 of it. A depth may be divided in parts, whose sums are written one behind
// the other. Where a side is TURNED, neighbours bring its neighbouring rows instead of its neighbours in depth.
// Workgroups: ceil(columns / 128) x ceil(rows / 128) x (batches x parts).
// Twin: `products` in crates/ragtune-kernels/src/on_gpu.rs. What is set below is set anew for each call.

const LEFT_TURNED: bool = false;
const RIGHT_TURNED: bool = false;
const BIASED: bool = false;

struct Sizes {
    rows: u32,
    columns: u32,
    depth: u32,
    // How many second indices a batch has, in how many parts the depth is divided, and how deep each is.
    seconds: u32,
    parts: u32,
    part: u32,
    // Strides: of a row and of depth, of the first and of the second index.
    left: u32,
    left_deep: u32,
    left_first: u32,
    left_second: u32,
    right: u32,
    right_deep: u32,
    right_first: u32,
    right_second: u32,
    out: u32,
    out_first: u32,
    out_second: u32,
    out_part: u32,
}

@group(0) @binding(0) var<storage, read_write> left: array<f32>;
@group(0) @binding(1) var<storage, read_write> right: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> sizes: Sizes;

const TILE: u32 = 128u;
const DEEP: u32 = 8u;
// Fours of a tile for one of its depths: one more than there are, so that neighbours in depth lie in other banks.
const QUADS: u32 = 33u;

var<workgroup> left_tile: array<vec4<f32>, 264>;
var<workgroup> right_tile: array<vec4<f32>, 264>;

const UP: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// Where a thread brings its four rows from, and where it puts them: a depth of the tile, and four rows of that.
struct Lines {
    rows: vec4<u32>,
    deep: u32,
    place: u32,
}

// Rows behind the last one are read as that; nothing waits for a branch, and what comes of them is not written.
fn lines(turned: bool, start: u32, first: u32, rows: u32, stride: u32, index: u32) -> Lines {
    let deep = select(index % DEEP, index / 32u, turned);
    let quad = select(index / DEEP, index % 32u, turned);
    let own = min(first + 4u * quad + UP, vec4<u32>(rows - 1u));
    return Lines(start + own * stride, deep, deep * QUADS + quad);
}

fn left_quad(at: Lines, deep: u32, end: u32, stride: u32) -> vec4<f32> {
    let depth = deep + at.deep;
    let own = at.rows + min(depth, end - 1u) * stride;
    return select(vec4<f32>(), vec4<f32>(left[own.x], left[own.y], left[own.z], left[own.w]), depth < end);
}

fn right_quad(at: Lines, deep: u32, end: u32, stride: u32) -> vec4<f32> {
    let depth = deep + at.deep;
    let own = at.rows + min(depth, end - 1u) * stride;
    return select(vec4<f32>(), vec4<f32>(right[own.x], right[own.y], right[own.z], right[own.w]), depth < end);
}

fn write_quad(sums: vec4<f32>, at: u32, column: u32, columns: u32) {
    if column < columns {
        out[at + column] = sums.x;
    }
    if column + 1u < columns {
        out[at + column + 1u] = sums.y;
    }
    if column + 2u < columns {
        out[at + column + 2u] = sums.z;
    }
    if column + 3u < columns {
        out[at + column + 3u] = sums.w;
    }
}

// A row of a thread's sums: four columns, and four in the other half of the tile.
fn write(near: vec4<f32>, far: vec4<f32>, start: u32, row: u32, column: u32, all: Sizes) {
    if row < all.rows {
        write_quad(near, start + row * all.out, column, all.columns);
        write_quad(far, start + row * all.out, column + TILE / 2u, all.columns);
    }
}

fn biases(column: u32, columns: u32) -> vec4<f32> {
    if BIASED {
        let own = min(column + UP, vec4<u32>(columns - 1u));
        return vec4<f32>(bias[own.x], bias[own.y], bias[own.z], bias[own.w]);
    }
    return vec4<f32>();
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    // Read once: in a loop a driver may read them again.
    let all = sizes;
    let part = group.z % all.parts;
    let first = group.z / all.parts / all.seconds;
    let second = group.z / all.parts % all.seconds;
    let left_start = first * all.left_first + second * all.left_second;
    let right_start = first * all.right_first + second * all.right_second;
    let l = lines(LEFT_TURNED, left_start, group.y * TILE, all.rows, all.left, index);
    let r = lines(RIGHT_TURNED, right_start, group.x * TILE, all.columns, all.right, index);
    let end = min(all.depth, (part + 1u) * all.part);
    var deep = part * all.part;

    var n0 = vec4<f32>();
    var n1 = vec4<f32>();
    var n2 = vec4<f32>();
    var n3 = vec4<f32>();
    var n4 = vec4<f32>();
    var n5 = vec4<f32>();
    var n6 = vec4<f32>();
    var n7 = vec4<f32>();
    var f0 = vec4<f32>();
    var f1 = vec4<f32>();
    var f2 = vec4<f32>();
    var f3 = vec4<f32>();
    var f4 = vec4<f32>();
    var f5 = vec4<f32>();
    var f6 = vec4<f32>();
    var f7 = vec4<f32>();
    var next_left = left_quad(l, deep, end, all.left_deep);
    var next_right = right_quad(r, deep, end, all.right_deep);
    for (var step = (end - deep + DEEP - 1u) / DEEP; step > 0u; step -= 1u) {
        left_tile[l.place] = next_left;
        right_tile[r.place] = next_right;
        workgroupBarrier();
        // What comes next is read while what is there is multiplied.
        deep += DEEP;
        next_left = left_quad(l, deep, end, all.left_deep);
        next_right = right_quad(r, deep, end, all.right_deep);
        for (var k = 0u; k < DEEP; k += 1u) {
            let a = left_tile[k * QUADS + local.y];
            let b = left_tile[k * QUADS + 16u + local.y];
            let near = right_tile[k * QUADS + local.x];
            let far = right_tile[k * QUADS + 16u + local.x];
            n0 += a.x * near;
            f0 += a.x * far;
            n1 += a.y * near;
            f1 += a.y * far;
            n2 += a.z * near;
            f2 += a.z * far;
            n3 += a.w * near;
            f3 += a.w * far;
            n4 += b.x * near;
            f4 += b.x * far;
            n5 += b.y * near;
            f5 += b.y * far;
            n6 += b.z * near;
            f6 += b.z * far;
            n7 += b.w * near;
            f7 += b.w * far;
        }
        workgroupBarrier();
    }

    let start = part * all.out_part + first * all.out_first + second * all.out_second;
    let row = group.y * TILE + 4u * local.y;
    let column = group.x * TILE + 4u * local.x;
    let near = biases(column, all.columns);
    let far = biases(column + TILE / 2u, all.columns);
    write(n0 + near, f0 + far, start, row, column, all);
    write(n1 + near, f1 + far, start, row + 1u, column, all);
    write(n2 + near, f2 + far, start, row + 2u, column, all);
    write(n3 + near, f3 + far, start, row + 3u, column, all);
    write(n4 + near, f4 + far, start, row + TILE / 2u, column, all);
    write(n5 + near, f5 + far, start, row + TILE / 2u + 1u, column, all);
    write(n6 + near, f6 + far, start, row + TILE / 2u + 2u, column, all);
    write(n7 + near, f7 + far, start, row + TILE / 2u + 3u, column, all);
}
