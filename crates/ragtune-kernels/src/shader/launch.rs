//! The files of `shaders/` and how they are launched.

use std::borrow::Cow;

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, ExecutionMode, KernelId};
use burn_cubecl::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn_cubecl::template::{KernelSource, SourceKernel, SourceTemplate};
use burn_cubecl::tensor::CubeTensor;

use crate::Units;
use crate::layers::Gate;

pub(super) fn dim(tensor: &CubeTensor, axis: usize) -> usize {
    tensor.meta.shape()[axis]
}

/// A tensor beside another, whatever is in it.
pub(super) fn empty(beside: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    let handle = beside.client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(beside.client.clone(), beside.device.clone(), shape, handle, dtype)
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

/// The shaders by their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Text {
    VocabMax,
    BackRows,
    BackStates,
    LogSums,
    Expand,
    BagScores,
    Largest,
    LargestSize,
    AdamW,
    Squares,
    Forms,
    BatchScores,
    BatchScoresBack,
    ColumnSums,
    Activation {
        tanh: bool,
        back: bool,
    },
    /// Of rows to which others are added; to a mean square of 1.
    Norm {
        added: bool,
        root: bool,
    },
    Gated(Gate),
    Turn {
        back: bool,
    },
    /// Of rows to which others are added.
    NormBack {
        added: bool,
    },
    Product(Units, Sides),
    VocabMaxUnits(Units),
    /// For subgroups of so many lanes.
    Softmax {
        lanes: u32,
        causal: bool,
    },
    /// Likewise.
    SoftmaxBack(u32),
}

/// How the sides of a product on matrix units lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Sides {
    pub(super) left: Side,
    pub(super) right: Side,
    /// Whether the left side is brought to a size that 16 bits hold.
    pub(super) scaled: bool,
    /// Whether a bias is added.
    pub(super) biased: bool,
}

/// One side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Side {
    /// Whether its rows lie behind each other instead of its depth.
    pub(super) turned: bool,
    /// Whether it is of 16 bits in memory too.
    pub(super) half: bool,
}

impl Text {
    /// The file.
    fn file(self) -> &'static str {
        match self {
            Self::VocabMax => include_str!("../../../../shaders/vocab_max.wgsl"),
            Self::BackRows => include_str!("../../../../shaders/vocab_max_back_rows.wgsl"),
            Self::BackStates => include_str!("../../../../shaders/vocab_max_back_states.wgsl"),
            Self::LogSums => include_str!("../../../../shaders/log_sums.wgsl"),
            Self::Expand => include_str!("../../../../shaders/expand.wgsl"),
            Self::BagScores => include_str!("../../../../shaders/bag_scores.wgsl"),
            Self::Largest => include_str!("../../../../shaders/largest.wgsl"),
            Self::LargestSize => include_str!("../../../../shaders/largest_size.wgsl"),
            Self::AdamW => include_str!("../../../../shaders/adamw.wgsl"),
            Self::Squares => include_str!("../../../../shaders/squares.wgsl"),
            Self::Forms => include_str!("../../../../shaders/forms.wgsl"),
            Self::BatchScores => include_str!("../../../../shaders/batch_scores.wgsl"),
            Self::BatchScoresBack => include_str!("../../../../shaders/batch_scores_back.wgsl"),
            Self::ColumnSums => include_str!("../../../../shaders/column_sums.wgsl"),
            Self::Activation { .. } => include_str!("../../../../shaders/activation.wgsl"),
            Self::Norm { .. } => include_str!("../../../../shaders/norm.wgsl"),
            Self::Gated(_) => include_str!("../../../../shaders/gated.wgsl"),
            Self::Turn { .. } => include_str!("../../../../shaders/turn.wgsl"),
            Self::NormBack { .. } => include_str!("../../../../shaders/norm_back.wgsl"),
            Self::Product(..) => include_str!("../../../../shaders/product.wgsl"),
            Self::VocabMaxUnits(_) => include_str!("../../../../shaders/vocab_max_units.wgsl"),
            Self::Softmax { .. } => include_str!("../../../../shaders/softmax.wgsl"),
            Self::SoftmaxBack(_) => include_str!("../../../../shaders/softmax_back.wgsl"),
        }
    }

    /// The file with what is set for a device and a call.
    fn text(self) -> Cow<'static, str> {
        let file = self.file();
        match self {
            Self::Product(units, sides) => {
                let turned = |side: Side| format!("{}u", u32::from(side.turned));
                let quad = |side: Side| if side.half { "vec4<f16>" } else { "vec4<f32>" };
                let text = for_units(file, units);
                let text = set(&text, "const LEFT_TURNED: u32", &turned(sides.left));
                let text = set(&text, "const RIGHT_TURNED: u32", &turned(sides.right));
                let text = set(&text, "const SCALED: bool", &sides.scaled.to_string());
                let text = set(&text, "const BIASED: bool", &sides.biased.to_string());
                let text = set(&text, "alias LeftQuad", quad(sides.left));
                set(&text, "alias RightQuad", quad(sides.right)).into()
            }
            Self::Activation { tanh, back } => {
                let text = set(file, "const TANH: bool", &tanh.to_string());
                set(&text, "const BACK: bool", &back.to_string()).into()
            }
            Self::Norm { added, root } => {
                let text = set(file, "const ADDED: bool", &added.to_string());
                set(&text, "const ROOT: bool", &root.to_string()).into()
            }
            Self::NormBack { added } => set(file, "const ADDED: bool", &added.to_string()).into(),
            Self::Gated(gate) => set(file, "const KIND: u32", &format!("{}u", gate as u32)).into(),
            Self::Turn { back } => set(file, "const BACK: bool", &back.to_string()).into(),
            Self::Softmax { lanes, causal } => {
                let text = set(file, LANES, &format!("{lanes}u"));
                set(&text, "const CAUSAL: bool", &causal.to_string()).into()
            }
            Self::VocabMaxUnits(units) => for_units(file, units).into(),
            Self::SoftmaxBack(lanes) => set(file, LANES, &format!("{lanes}u")).into(),
            _ => file.into(),
        }
    }
}

const LANES: &str = "const LANES: u32";

/// A file with the size of the units' squares and the lanes of a subgroup.
fn for_units(file: &str, units: Units) -> String {
    let text = set(file, LANES, &format!("{}u", units.lanes));
    let text = set(&text, "const UNIT: u32", &format!("{}u", units.size));
    text.replace("coop_mat16x16", &format!("coop_mat{0}x{0}", units.size))
}

/// A text with another value of what it sets on a line of its own.
fn set(text: &str, what: &str, value: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix(what) {
        Some(_) => format!("{what} = {value};\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

impl KernelSource for Text {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new((*self).text())
    }

    fn id(&self) -> KernelId {
        // Compiled shaders are kept by this, so it must change with the text. Every loop of theirs ends, so none is guarded.
        KernelId::new::<Self>().info((*self, (*self).file())).mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Launches a shader over tensors; `sizes`, its last binding, is what it is told beside them.
pub(super) fn launch(text: Text, groups: [usize; 3], threads: [u32; 2], tensors: &[&CubeTensor], sizes: &[u32]) {
    let [x, y, z] = groups.map(|n| n as u32);
    let arguments = tensors
        .iter()
        .fold(KernelArguments::new(), |arguments, tensor| arguments.with_buffer(tensor.handle.clone().binding()));
    // Told in this way, they wait for nothing: an upload as a tensor would end what is being recorded for the device.
    let pairs = sizes.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32);
    let arguments = arguments.with_info(MetadataBindingInfo::custom(pairs.collect()));
    let kernel = SourceKernel::new(text, CubeDim::new_2d(threads[0], threads[1]));
    tensors[0].client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_found_in_the_files_and_leaves_them_valid() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        let mut texts = Vec::new();
        for units in [Units { size: 16, lanes: 32 }, Units { size: 8, lanes: 8 }, Units { size: 8, lanes: 32 }] {
            for bits in 0..64 {
                let side = |turned: u32, half: u32| Side { turned: bits & turned != 0, half: bits & half != 0 };
                let sides =
                    Sides { left: side(1, 2), right: side(4, 8), scaled: bits & 16 != 0, biased: bits & 32 != 0 };
                texts.push(Text::Product(units, sides));
            }
            texts.push(Text::VocabMaxUnits(units));
        }
        texts.extend([8, 32].map(Text::SoftmaxBack));
        let both = [false, true];
        texts.extend(both.into_iter().flat_map(|x| [Text::NormBack { added: x }, Text::Turn { back: x }]));
        texts.extend([Gate::Silu, Gate::Gelu, Gate::GeluTanh, Gate::Relu].map(Text::Gated));
        for [a, b] in [[false, false], [false, true], [true, false], [true, true]] {
            texts.push(Text::Activation { tanh: a, back: b });
            texts.push(Text::Norm { added: a, root: b });
            texts.push(Text::Softmax { lanes: if a { 8 } else { 32 }, causal: b });
        }
        let mut seen = std::collections::BTreeSet::new();
        for text in texts {
            let source = text.text();
            let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            Validator::new(ValidationFlags::all(), Capabilities::all())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{text:?}: {e:?}"));
            assert!(seen.insert(source.into_owned()), "{text:?} is as another one");
        }
    }
}
