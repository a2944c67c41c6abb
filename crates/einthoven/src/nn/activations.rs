//! What a training step holds of the values inside a network until its backward pass.

use super::kernel::Kept;

/// How the values that gradients need are held; networks and devices that know no other way hold them whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activations {
    /// As they are.
    #[default]
    Whole,
    /// Those of gated layers as bf16: half of their memory, and gradients off by about 1e-4 of their norm.
    Bf16,
    /// Inputs of parts alone, see [`super::recompute::recomputed`]: less memory, more time, the same bits.
    Recomputed,
}

impl Activations {
    /// How operations keep theirs.
    pub fn kept(self) -> Kept {
        if self == Activations::Bf16 { Kept::Bf16 } else { Kept::Whole }
    }

    /// The flag of the command that asks for it; empty for none.
    pub fn flag(self) -> &'static str {
        match self {
            Activations::Whole => "",
            Activations::Bf16 => "--bf16-activations",
            Activations::Recomputed => "--recompute",
        }
    }
}
