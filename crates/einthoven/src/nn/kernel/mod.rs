//! Our own tensor operations where the framework's are slow.
//!
//! Each file holds one operation: the public function on tensors, its gradient, and a plain
//! reference made of the framework's own operations. On the CPU device the function runs our
//! loops through the framework's backend extension; on every other device it runs the reference.
//!
//! Each operation gives record `i` of a batch the same bits whatever the batch size and the number
//! of threads: work is cut into pieces whose size follows from the shape of one record alone, and
//! sums over records are added in a fixed order.
#![allow(unsafe_code)]

mod conv1d;
mod cpu;
mod lanes;
mod norm_act;
mod silu;

pub use conv1d::{Conv1dOptions, conv1d, conv1d_reference};
pub use norm_act::{Activation, group_norm_act, group_norm_act_reference, rms_norm, rms_norm_reference};
pub use silu::{silu, silu_reference};
