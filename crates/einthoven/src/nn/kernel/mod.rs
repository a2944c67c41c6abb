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

mod attention;
mod batch_norm_act;
mod columns;
mod conv1d;
mod cpu;
mod cross_entropy;
mod depthwise;
mod dft;
mod fft_conv;
mod fused;
mod gated_residual;
mod gelu;
mod heads;
mod kept;
mod lanes;
mod layer_norm_act;
mod linear;
mod linear_attention;
mod max_pool;
mod memory;
mod minimal;
mod norm_act;
mod pointwise;
mod recompute;
mod resample;
mod s4_kernel;
mod s4d_kernel;
mod scratch;
mod silu;
mod snake;
mod softmax;
mod tile;
mod weight_gradient;
mod window;
mod worker;

pub use attention::{attention, attention_reference};
pub use batch_norm_act::{
    Affine, ChannelStatistics, batch_norm_act, batch_norm_act_fixed, batch_norm_act_fixed_reference,
    batch_norm_act_reference,
};
pub use conv1d::{
    Conv1dOptions, conv_transpose1d, conv_transpose1d_reference, conv1d, conv1d_grouped, conv1d_grouped_reference,
    conv1d_joined, conv1d_matrix, conv1d_reference,
};
pub(crate) use cpu::is_cpu;
pub use cross_entropy::{cross_entropy, cross_entropy_reference};
pub use depthwise::{DepthwiseOptions, Edge, depthwise, depthwise_reference};
pub use fft_conv::{KernelSpectrum, fft_conv, fft_conv_reference};
pub use gated_residual::{
    Gate, GateConv, GateOut, gated_output, gated_output_reference, gated_residual, gated_residual_reference,
};
pub use gelu::{gelu, gelu_reference, glu, glu_reference};
pub use kept::Kept;
pub use layer_norm_act::{layer_norm_act, layer_norm_act_reference};
pub use linear::{linear, linear_reference};
pub use linear_attention::{linear_attention, linear_attention_reference};
pub use max_pool::{max_pool, max_pool_reference};
pub use memory::keep_freed_memory;
pub use norm_act::{
    Activation, group_norm_act, group_norm_act_add, group_norm_act_reference, rms_norm, rms_norm_add,
    rms_norm_reference,
};
pub use pointwise::Pointwise;
pub(super) use recompute::recompute;
pub use resample::{upsample_nearest, upsample_nearest_reference};
pub use s4_kernel::{CauchySum, FrozenPoles, s4_kernel, s4_kernel_reference};
pub use s4d_kernel::{DiagonalSystem, s4d_kernel, s4d_kernel_reference};
pub use silu::{silu, silu_reference};
pub use snake::{snake, snake_reference};
pub use worker::on_worker;
