// The way back from selected rows to the table they were selected from: each row gets the gradients of the places that show it, in
// the order of the places.
//
// gradient [places, width]
// lists    the rows that are shown anywhere; then, for each, where its places end in what follows: all places
// out      [rows, width]   what no place shows stays as it is
// sizes    width, how many rows are shown
//
// A thread takes one number of a row. Workgroups: rows shown x ceil(width / 256), in two dimensions.
// Twin: `select_back` in crates/ragtune-kernels/src/select.rs.

@group(0) @binding(0) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> lists: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let width = sizes[0];
    let shown = sizes[1];
    let across = (width + 255u) / 256u;
    let at = group.y * groups.x + group.x;
    let own = at / across;
    let column = at % across * 256u + index;
    if own >= shown || column >= width {
        return;
    }
    let places = 2u * shown;
    let end = lists[shown + own];
    var place = 0u;
    if own > 0u {
        place = lists[shown + own - 1u];
    }
    var sum = 0.0;
    // Four at once: none waits for the one before.
    for (; place + 4u <= end; place += 4u) {
        let a = gradient[lists[places + place] * width + column];
        let b = gradient[lists[places + place + 1u] * width + column];
        let c = gradient[lists[places + place + 2u] * width + column];
        let d = gradient[lists[places + place + 3u] * width + column];
        sum += (a + b) + (c + d);
    }
    for (; place < end; place += 1u) {
        sum += gradient[lists[places + place] * width + column];
    }
    out[lists[own] * width + column] = sum;
}
