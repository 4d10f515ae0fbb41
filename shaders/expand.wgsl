// Rows of a matrix that is held in fewer bits, as 32-bit floats.
//
// bytes  the matrix as its file holds it, row after row, four bytes in a word, the first lowest
// sizes  format (0: F16, 1: BF16, 2: Q8_0, 3: Q4_0), columns, bytes of a row, rows wanted, first of them, and 1 where their
//        numbers stand behind: then the rows themselves
// out    [rows wanted, columns]
//
// A thread takes one number. Workgroups of 256 threads in two dimensions. Twin: `Format::expand` in
// crates/ragtune-kernels/src/blocks.rs.

@group(0) @binding(0) var<storage, read_write> bytes: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

fn byte_at(at: u32) -> u32 {
    return (bytes[at / 4u] >> (8u * (at % 4u))) & 255u;
}

fn two_bytes_at(at: u32) -> u32 {
    return byte_at(at) | (byte_at(at + 1u) << 8u);
}

// A finite number of 16 bits: exponent and fraction in their places, times the difference of the exponents' zeros.
fn half_at(at: u32) -> f32 {
    let bits = two_bytes_at(at);
    let exponent = (bits >> 10u) & 31u;
    let fraction = bits & 1023u;
    var size = f32(fraction) * 5.960464477539063e-8;
    if exponent != 0u {
        size = bitcast<f32>(((exponent + 112u) << 23u) | (fraction << 13u));
    }
    return select(size, -size, (bits & 32768u) != 0u);
}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = (group.y * groups.x + group.x) * 256u + index;
    let format = sizes[0];
    let columns = sizes[1];
    if at >= columns * sizes[3] {
        return;
    }
    var row = sizes[4] + at / columns;
    if sizes[5] == 1u {
        row = sizes[6u + at / columns];
    }
    let column = at % columns;
    let start = row * sizes[2];
    var value = 0.0;
    if format == 0u {
        value = half_at(start + 2u * column);
    } else if format == 1u {
        value = bitcast<f32>(two_bytes_at(start + 2u * column) << 16u);
    } else if format == 2u {
        let block = start + (column / 32u) * 34u;
        let number = i32(byte_at(block + 2u + column % 32u) << 24u) >> 24u;
        value = f32(number) * half_at(block);
    } else {
        let block = start + (column / 32u) * 18u;
        let within = column % 32u;
        let both = byte_at(block + 2u + within % 16u);
        let four = select(both & 15u, both >> 4u, within >= 16u);
        value = f32(i32(four) - 8) * half_at(block);
    }
    out[at] = value;
}
