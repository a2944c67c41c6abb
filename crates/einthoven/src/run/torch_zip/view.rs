//! Tensors as views: which values of a flat storage, in which order.

use super::{Fault, shown};
use crate::run::safetensors;

/// A class of storages: every value has one type.
#[derive(Debug)]
pub(super) struct StorageClass {
    /// Name in the module `torch`.
    pub(super) name: &'static str,
    /// Type of its values, named as in safetensors.
    pub(super) dtype: &'static str,
    /// Bytes of a value.
    width: usize,
}

/// The classes that are read.
pub(super) static CLASSES: [StorageClass; 11] = [
    StorageClass { name: "FloatStorage", dtype: "F32", width: 4 },
    StorageClass { name: "DoubleStorage", dtype: "F64", width: 8 },
    StorageClass { name: "HalfStorage", dtype: "F16", width: 2 },
    StorageClass { name: "BFloat16Storage", dtype: "BF16", width: 2 },
    StorageClass { name: "LongStorage", dtype: "I64", width: 8 },
    StorageClass { name: "IntStorage", dtype: "I32", width: 4 },
    StorageClass { name: "ShortStorage", dtype: "I16", width: 2 },
    StorageClass { name: "CharStorage", dtype: "I8", width: 1 },
    StorageClass { name: "ByteStorage", dtype: "U8", width: 1 },
    StorageClass { name: "BoolStorage", dtype: "BOOL", width: 1 },
    StorageClass { name: "ComplexFloatStorage", dtype: "C64", width: 8 },
];

/// A storage as the pickle describes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) class: &'static StorageClass,
    /// Name of its entry in the folder `data`.
    pub(super) key: &'a str,
    pub(super) n_values: usize,
}

/// A tensor as the pickle describes it, nothing checked yet but that there are as many strides as sides.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) size: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// A view that lies inside of its storage, counted in real numbers.
pub(super) struct Layout {
    pub(super) shape: Vec<usize>,
    stride: Vec<usize>,
    offset: usize,
    /// The product of the shape.
    pub(super) n_values: usize,
}

impl View<'_> {
    /// Checks the view against the size in bytes of the storage's entry, if there is such an entry.
    ///
    /// # Errors
    /// Rule `M02`, naming the tensor.
    pub(super) fn layout(&self, name: &str, n_bytes: Option<u64>) -> Result<Layout, Fault> {
        let Storage { class, key, n_values: available } = self.storage;
        let Some(n_bytes) = n_bytes else {
            let expected = format!("data/{} in the archive", shown(key));
            return Err(Fault::broken(shown(name), "no such entry", expected));
        };
        if available.checked_mul(class.width).is_none_or(|declared| declared as u64 != n_bytes) {
            let found = format!("{n_bytes} bytes in data/{}", shown(key));
            return Err(Fault::broken(shown(name), found, format!("{available} values of {}", class.name)));
        }
        let outside = || {
            let found = format!("size {:?}, stride {:?}, offset {}", self.size, self.stride, self.offset);
            Fault::broken(shown(name), found, format!("a view of the {available} values of its storage"))
        };
        let product = self.size.iter().try_fold(1, |product: usize, side| product.checked_mul(*side));
        let mut n_values = product.ok_or_else(outside)?;
        if n_values > 0 {
            let mut axes = self.size.iter().zip(&self.stride);
            let last = axes.try_fold(self.offset, |at, (side, step)| at.checked_add((side - 1).checked_mul(*step)?));
            if last.is_none_or(|last| last >= available) {
                return Err(outside());
            }
        }
        let (mut shape, mut offset) = (self.size.clone(), self.offset);
        // The step along an axis of one place is free, and may be any number.
        let mut stride: Vec<usize> =
            shape.iter().zip(&self.stride).map(|(side, step)| if *side > 1 { *step } else { 0 }).collect();
        if n_values == 0 {
            (offset, stride) = (0, vec![0; shape.len()]);
        }
        if class.dtype == "C64" {
            // Offset and steps are below the number of values, of which each is eight bytes that exist.
            offset *= 2;
            stride.iter_mut().for_each(|step| *step *= 2);
            stride.push(1);
            shape.push(2);
            n_values = n_values.checked_mul(2).ok_or_else(outside)?;
        }
        Ok(Layout { shape, stride, offset, n_values })
    }
}

impl Layout {
    /// The values of the view in row-major order, from the decoded storage.
    pub(super) fn gather(&self, storage: &[f32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.n_values);
        let n_outer = self.shape.len().saturating_sub(1);
        let (run, step) = self.shape.last().zip(self.stride.last()).map_or((1, 1), |(side, step)| (*side, *step));
        let mut index = vec![0; n_outer];
        let mut at = self.offset;
        while values.len() < self.n_values {
            if step == 1 {
                values.extend_from_slice(&storage[at..at + run]);
            } else {
                values.extend((0..run).map(|k| storage[at + k * step]));
            }
            for axis in (0..n_outer).rev() {
                index[axis] += 1;
                at += self.stride[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.stride[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
        values
    }
}

/// The values of a storage whose length is a multiple of the type's width.
pub(super) fn decode(bytes: Vec<u8>, dtype: &str) -> Vec<f32> {
    match dtype {
        "I16" => bytes.as_chunks().0.iter().map(|pair| f32::from(i16::from_le_bytes(*pair))).collect(),
        "I8" => bytes.iter().map(|byte| f32::from(*byte as i8)).collect(),
        "U8" => bytes.iter().map(|byte| f32::from(*byte)).collect(),
        "BOOL" => bytes.iter().map(|byte| f32::from(u8::from(*byte != 0))).collect(),
        "C64" => safetensors::values(&bytes, "F32"),
        _ => safetensors::values(&bytes, dtype),
    }
}
