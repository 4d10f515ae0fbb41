//! Named weights: vectors and matrices under their upstream names.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor};
use ragtune_kernels::{binding_bytes, from_vec, to_vec};

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

    /// Shape, of rank 1 or 2.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(t) => t.dims().to_vec(),
            Self::Matrix(t) => t.dims().to_vec(),
            Self::Parts(parts) => {
                vec![parts.iter().map(|part| part.dims()[0]).sum(), parts.first().map_or(0, |part| part.dims()[1])]
            }
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Row-major values, read back from the device.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Vector(t) => to_vec(t.clone().inner()),
            Self::Matrix(t) => to_vec(t.clone().inner()),
            Self::Parts(parts) => parts.iter().flat_map(|part| to_vec(part.clone().inner())).collect(),
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

    /// A matrix by name that may lie in parts: all but those are read by [`Weights::matrix`] too.
    ///
    /// # Panics
    /// As [`Weights::matrix`].
    pub(crate) fn table(&self, name: &str) -> Table {
        match self.0.get(name) {
            Some(Weight::Matrix(t)) => Table::new(vec![t.clone()]),
            Some(Weight::Parts(parts)) => Table::new(parts.clone()),
            _ => panic!("weight {name} was not checked at load"),
        }
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        match self.0.values().next() {
            Some(Weight::Vector(t)) => t.device().inner(),
            Some(Weight::Matrix(t)) => t.device().inner(),
            Some(Weight::Parts(parts)) => parts[0].device().inner(),
            None => Device::flex(),
        }
    }

    /// The same weights as leaves of a gradient tape.
    pub fn tracked(&self) -> Self {
        self.map(|t| t.inner().autodiff().require_grad(), |t| t.inner().autodiff().require_grad())
    }

    /// The same weights on another device.
    pub fn to_device(&self, device: &Device) -> Self {
        self.map(|t| t.inner().to_device(device), |t| t.inner().to_device(device))
    }

    /// Gradients of tracked weights; a weight that took no part is left out.
    pub fn gradients(&self, gradients: &mut Gradients) -> Self {
        let mut out = Self::default();
        for (name, weight) in &self.0 {
            let gradient = match weight {
                Weight::Vector(t) => t.grad_remove(gradients).map(Weight::Vector),
                Weight::Matrix(t) => t.grad_remove(gradients).map(Weight::Matrix),
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
        Self(
            self.0
                .iter()
                .map(|(name, weight)| {
                    let weight = match weight {
                        Weight::Vector(t) => Weight::Vector(vector(t.clone())),
                        Weight::Matrix(t) => Weight::Matrix(matrix(t.clone())),
                        Weight::Parts(parts) => Weight::Parts(parts.iter().cloned().map(&matrix).collect()),
                    };
                    (name.clone(), weight)
                })
                .collect(),
        )
    }
}
