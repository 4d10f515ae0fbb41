//! Named weights: vectors and matrices under their upstream names.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Gradients, Tensor};
use ragtune_kernels::{Format, Packed, binding_bytes, from_vec, to_vec};

use crate::table::Table;

/// One named weight. Encoders and language models need no other ranks.
#[derive(Clone)]
pub enum Weight {
    /// A bias or a gain, [n].
    Vector(Tensor<1>),
    /// A projection [out, in] or an embedding [rows, width].
    Matrix(Tensor<2>),
    /// A matrix in parts of some rows each, in their order, because the device does not read it at once.
    Parts(Vec<Tensor<2>>),
    /// A matrix that stays as its file holds it. It computes, and does not learn.
    Packed(Packed),
}

impl Weight {
    /// Puts a row-major array of rank 1 or 2 on a device.
    pub fn from_vec(values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        Self::within(values, shape, device, binding_bytes(device))
    }

    /// As [`Weight::from_vec`], in parts where it takes more bytes than `most`.
    pub(crate) fn within(values: Vec<f32>, shape: &[usize], device: &Device, most: Option<u64>) -> Self {
        match *shape {
            [_, columns] => {
                let parts = Table::cut(values, columns, most).into_iter().map(|part| Tensor::from_data(part, device));
                let mut parts: Vec<_> = parts.collect();
                if parts.len() == 1 { Self::Matrix(parts.remove(0)) } else { Self::Parts(parts) }
            }
            _ => {
                let n = values.len();
                Self::Vector(from_vec(values, [n], device))
            }
        }
    }

    /// Puts a packed matrix on a device; as floats where the device does not take it packed.
    pub(crate) fn packed(packed: &Packed, device: &Device) -> Self {
        match packed.on_device(device) {
            Some(there) => Self::Packed(there),
            None => Self::from_vec(packed.values(), &packed.shape(), device),
        }
    }

    /// Shape, of rank 1 or 2.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(t) => t.dims().to_vec(),
            Self::Matrix(t) => t.dims().to_vec(),
            Self::Parts(parts) => {
                vec![parts.iter().map(|part| part.dims()[0]).sum(), parts.first().map_or(0, |part| part.dims()[1])]
            }
            Self::Packed(packed) => packed.shape().to_vec(),
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Packed(packed) => packed.bytes() as u64,
            _ => 4 * self.elements() as u64,
        }
    }

    /// Row-major values, read back from the device.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Vector(t) => to_vec(t.clone().inner()),
            Self::Matrix(t) => to_vec(t.clone().inner()),
            Self::Parts(parts) => parts.iter().flat_map(|part| to_vec(part.clone().inner())).collect(),
            Self::Packed(packed) => packed.values(),
        }
    }

    fn map(&self, vector: &dyn Fn(Tensor<1>) -> Tensor<1>, matrix: &dyn Fn(Tensor<2>) -> Tensor<2>) -> Self {
        match self {
            Self::Vector(t) => Self::Vector(vector(t.clone())),
            Self::Matrix(t) => Self::Matrix(matrix(t.clone())),
            Self::Parts(parts) => Self::Parts(parts.iter().cloned().map(matrix).collect()),
            Self::Packed(_) => self.clone(),
        }
    }

    /// Applies the same elementwise function to both sides of a pair of equal shape.
    pub fn zip(
        &self,
        other: &Self,
        vector: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>,
        matrix: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Self {
        match (self, other) {
            (Self::Vector(a), Self::Vector(b)) => Self::Vector(vector(a.clone(), b.clone())),
            (Self::Matrix(a), Self::Matrix(b)) => Self::Matrix(matrix(a.clone(), b.clone())),
            (Self::Parts(a), Self::Parts(b)) => {
                Self::Parts(a.iter().zip(b).map(|(a, b)| matrix(a.clone(), b.clone())).collect())
            }
            _ => self.clone(),
        }
    }
}

/// All weights of a model, by name, in the order of their names.
#[derive(Clone, Default)]
pub struct Weights(BTreeMap<String, Weight>);

impl Weights {
    /// Adds or replaces a weight.
    pub fn insert(&mut self, name: impl Into<String>, weight: Weight) {
        self.0.insert(name.into(), weight);
    }

    /// Removes a weight.
    pub fn remove(&mut self, name: &str) -> Option<Weight> {
        self.0.remove(name)
    }

    /// A weight by name.
    pub fn get(&self, name: &str) -> Option<&Weight> {
        self.0.get(name)
    }

    /// Iterates in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Weight)> {
        self.0.iter()
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.0.values().map(Weight::elements).sum()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(Weight::bytes).sum()
    }

    /// How the matrices are held, as GGML names it; what holds most numbers first.
    pub fn formats(&self) -> Vec<&'static str> {
        let mut formats: BTreeMap<&'static str, usize> = BTreeMap::new();
        for weight in self.0.values().filter(|weight| weight.shape().len() == 2) {
            let name = if let Weight::Packed(packed) = weight { packed.format().name() } else { "F32" };
            *formats.entry(name).or_default() += weight.elements();
        }
        let mut formats: Vec<_> = formats.into_iter().collect();
        formats.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        formats.into_iter().map(|(name, _)| name).collect()
    }

    /// A vector by name.
    ///
    /// # Panics
    /// When the name is unknown: models check all their names when they are built.
    pub fn vector(&self, name: &str) -> Tensor<1> {
        match self.0.get(name) {
            Some(Weight::Vector(t)) => t.clone(),
            _ => panic!("weight {name} was not checked at load"),
        }
    }

    /// A vector by name, where some models have none.
    pub fn optional(&self, name: &str) -> Option<Tensor<1>> {
        match self.0.get(name) {
            Some(Weight::Vector(t)) => Some(t.clone()),
            _ => None,
        }
    }

    /// A matrix by name.
    ///
    /// # Panics
    /// When the name is unknown: models check all their names when they are built.
    pub fn matrix(&self, name: &str) -> Tensor<2> {
        match self.0.get(name) {
            Some(Weight::Matrix(t)) => t.clone(),
            _ => panic!("weight {name} was not checked at load"),
        }
    }

    /// A matrix by name that may lie in parts or be packed: all but those are read by [`Weights::matrix`] too.
    ///
    /// # Panics
    /// As [`Weights::matrix`].
    pub(crate) fn table(&self, name: &str) -> Table {
        match self.0.get(name) {
            Some(Weight::Matrix(t)) => Table::new(vec![t.clone()]),
            Some(Weight::Parts(parts)) => Table::new(parts.clone()),
            Some(Weight::Packed(packed)) => Table::Packed(packed.clone()),
            _ => panic!("weight {name} was not checked at load"),
        }
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        match self.0.values().next() {
            Some(Weight::Vector(t)) => t.device().inner(),
            Some(Weight::Matrix(t)) => t.device().inner(),
            Some(Weight::Parts(parts)) => parts[0].device().inner(),
            Some(Weight::Packed(packed)) => packed.device(),
            None => Device::flex(),
        }
    }

    /// The same weights as leaves of a gradient tape.
    pub fn tracked(&self) -> Self {
        self.map(|t| t.inner().autodiff().require_grad(), |t| t.inner().autodiff().require_grad())
    }

    /// The same weights on another device.
    pub fn to_device(&self, device: &Device) -> Self {
        let moved = |weight: &Weight| match weight {
            Weight::Packed(packed) if packed.device() != *device => Weight::packed(packed, device),
            other => other.map(&|t| t.inner().to_device(device), &|t| t.inner().to_device(device)),
        };
        Self(self.0.iter().map(|(name, weight)| (name.clone(), moved(weight))).collect())
    }

    /// Gradients of tracked weights; a weight that took no part is left out.
    pub fn gradients(&self, gradients: &mut Gradients) -> Self {
        let mut out = Self::default();
        for (name, weight) in &self.0 {
            let gradient = match weight {
                Weight::Vector(t) => t.grad_remove(gradients).map(Weight::Vector),
                Weight::Matrix(t) => t.grad_remove(gradients).map(Weight::Matrix),
                Weight::Packed(_) => None,
                Weight::Parts(parts) => {
                    let found: Vec<_> = parts.iter().map(|part| part.grad_remove(gradients)).collect();
                    let all = found.iter().any(Option::is_some).then(|| {
                        let filled = parts.iter().zip(found);
                        filled.map(|(part, found)| found.unwrap_or_else(|| part.clone().inner().zeros_like())).collect()
                    });
                    all.map(Weight::Parts)
                }
            };
            if let Some(gradient) = gradient {
                out.insert(name.clone(), gradient);
            }
        }
        out
    }

    /// Whether matrices of layers are in 16 bits.
    pub(crate) fn are_halved(&self) -> bool {
        self.0.values().any(|weight| matches!(weight, Weight::Matrix(t) if t.dtype() == DType::F16))
    }

    /// The same weights with those matrices in 16 bits whose names are asked for. Parts stay, and what is packed in fewer bits.
    pub(crate) fn halved(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let halve = |(name, weight): (&String, &Weight)| match weight {
            Weight::Matrix(t) if wanted(name) => (name.clone(), Weight::Matrix(t.clone().cast(DType::F16))),
            Weight::Packed(packed) if wanted(name) && matches!(packed.format(), Format::F16 | Format::Bf16) => {
                let rows = packed.slabs().map(|rows| rows.cast(DType::F16)).collect();
                (name.clone(), Weight::Matrix(Tensor::cat(rows, 0)))
            }
            _ => (name.clone(), weight.clone()),
        };
        Self(self.0.iter().map(halve).collect())
    }

    /// Every number times a factor.
    pub(crate) fn scaled(self, factor: f32) -> Self {
        if factor == 1.0 { self } else { self.map(|t| t.mul_scalar(factor), |t| t.mul_scalar(factor)) }
    }

    /// Adds other gradients to these.
    pub fn accumulate(&mut self, other: Self) {
        for (name, weight) in other.0 {
            match self.0.get_mut(&name) {
                Some(mine) => *mine = mine.zip(&weight, |a, b| a + b, |a, b| a + b),
                None => self.insert(name, weight),
            }
        }
    }

    fn map(&self, vector: impl Fn(Tensor<1>) -> Tensor<1>, matrix: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        Self(self.0.iter().map(|(name, weight)| (name.clone(), weight.map(&vector, &matrix))).collect())
    }
}
