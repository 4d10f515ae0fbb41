//! The files of `shaders/` and how they are launched.

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, ExecutionMode, KernelId};
use burn_cubecl::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn_cubecl::template::{KernelSource, SourceKernel, SourceTemplate};
use burn_cubecl::tensor::CubeTensor;

pub(super) fn dim(tensor: &CubeTensor, axis: usize) -> usize {
    tensor.meta.shape()[axis]
}

/// A tensor beside another, whatever is in it.
pub(super) fn empty(beside: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    let handle = beside.client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(beside.client.clone(), beside.device.clone(), shape, handle, dtype)
}

/// What is bound where nothing is read: memory of its own, since a browser refuses to bind the same twice.
pub(super) fn nothing(beside: &CubeTensor) -> CubeTensor {
    empty(beside, [4].into(), DType::F32)
}

pub(super) fn of_bytes(beside: &CubeTensor, shape: Shape, dtype: DType, bytes: &[u8]) -> CubeTensor {
    let handle = beside.client.create_from_slice(bytes);
    CubeTensor::new_contiguous(beside.client.clone(), beside.device.clone(), shape, handle, dtype)
}

/// Most workgroups in one dimension.
const MOST: usize = 65535;

/// So many workgroups in two dimensions.
pub(super) fn flat(groups: usize) -> [usize; 3] {
    let across = groups.clamp(1, MOST);
    [across, groups.div_ceil(across), 1]
}

/// A file of `shaders/`, with what is set in it for a device and a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shader {
    name: &'static str,
    /// Its text.
    file: &'static [u8],
    /// Of the file: compiled shaders are kept by it and by what is set.
    checksum: u64,
    settings: Vec<(&'static str, String)>,
}

/// The shader of that name.
macro_rules! shader {
    ($name:literal) => {{
        const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shaders/", $name, ".wgsl"));
        // A browser's module need not carry what is said to people.
        const LENGTH: usize = $crate::shader::launch::without_comments::<{ FILE.len() }>(FILE.as_bytes()).1;
        static TEXT: [u8; LENGTH] = $crate::shader::launch::without_comments::<LENGTH>(FILE.as_bytes()).0;
        const CHECKSUM: u64 = $crate::shader::launch::checksum(FILE.as_bytes());
        $crate::shader::launch::Shader::new($name, &TEXT, CHECKSUM)
    }};
}
pub(super) use shader;

/// A file without the lines that are nothing but a comment, as far as `N` bytes reach, and how many bytes that takes.
pub(super) const fn without_comments<const N: usize>(file: &[u8]) -> ([u8; N], usize) {
    let (mut out, mut length, mut at) = ([0; N], 0, 0);
    while at < file.len() {
        let mut first = at;
        while first < file.len() && file[first] == b' ' {
            first += 1;
        }
        let comment = first + 1 < file.len() && file[first] == b'/' && file[first + 1] == b'/';
        loop {
            if !comment && length < N {
                out[length] = file[at];
                length += 1;
            }
            at += 1;
            if at == file.len() || file[at - 1] == b'\n' {
                break;
            }
        }
    }
    (out, length)
}

/// FNV-1a.
pub(super) const fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        sum = (sum ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    sum
}

impl Shader {
    pub(super) fn new(name: &'static str, file: &'static [u8], checksum: u64) -> Self {
        Self { name, file, checksum, settings: Vec::new() }
    }

    /// The same with another value of what the file sets on a line of its own: `const NAME: TYPE` or `alias NAME`.
    pub(super) fn with(mut self, what: &'static str, value: impl ToString) -> Self {
        self.settings.push((what, value.to_string()));
        self
    }

    pub(super) fn text(&self) -> String {
        let file = String::from_utf8_lossy(self.file).into_owned();
        self.settings.iter().fold(file, |text, (what, value)| set(&text, what, value))
    }
}

/// A text with another value of what it sets on a line of its own.
fn set(text: &str, what: &str, value: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix(what) {
        Some(_) => format!("{what} = {value};\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

impl KernelSource for Shader {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.text())
    }

    fn id(&self) -> KernelId {
        // Every loop of the shaders ends, so none is guarded.
        let info = (self.name, self.checksum, self.settings.clone());
        KernelId::new::<Self>().info(info).mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Launches a shader over tensors; `sizes`, its last binding, is what it is told beside them.
pub(super) fn launch(shader: Shader, groups: [usize; 3], threads: [u32; 2], tensors: &[&CubeTensor], sizes: &[u32]) {
    let [x, y, z] = groups.map(|n| n as u32);
    let arguments = tensors
        .iter()
        .fold(KernelArguments::new(), |arguments, tensor| arguments.with_buffer(tensor.handle.clone().binding()));
    // Told in this way, they wait for nothing: an upload as a tensor would end what is being recorded for the device.
    let pairs = sizes.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32);
    let arguments = arguments.with_info(MetadataBindingInfo::custom(pairs.collect()));
    let kernel = SourceKernel::new(shader, CubeDim::new_2d(threads[0], threads[1]));
    tensors[0].client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
}

/// Asserts that shaders are valid, and differ.
#[cfg(test)]
pub(super) fn assert_valid(shaders: Vec<Shader>) {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let mut seen = std::collections::BTreeSet::new();
    for shader in shaders {
        let what = format!("{} with {:?}", shader.name, shader.settings);
        for (setting, _) in &shader.settings {
            let mut lines = shader.file.split(|byte| *byte == b'\n');
            assert!(lines.any(|line| line.starts_with(setting.as_bytes())), "{what}: no line sets {setting}");
        }
        let text = shader.text();
        assert!(!text.contains("//"), "{what}: a comment stayed");
        let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
        let valid = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
        assert!(valid.is_ok(), "{what}: {valid:?}");
        assert!(seen.insert(text), "{what} is as another one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_comments_go() {
        const FILE: &[u8] = b"// a\nlet b = 1; // stays\n    // c\n\n  d / e\n//";
        const LENGTH: usize = without_comments::<{ FILE.len() }>(FILE).1;
        let (text, length) = without_comments::<LENGTH>(FILE);
        assert_eq!((&text[..], length), (&b"let b = 1; // stays\n\n  d / e\n"[..], LENGTH));
    }
}
