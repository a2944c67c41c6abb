//! Single beats of the AAMI classes by weights that come with the library: a four-step student of DGN.

use super::dgn;
use super::shipped_model::ShippedSpec;

/// Entry of the list.
pub static SPEC: ShippedSpec = ShippedSpec {
    name: "beats",
    summary: "single beats of MIT-BIH by AAMI class, four steps, with weights that come along (KD-DGN)",
    reference: dgn::SPEC.reference,
    conditions: &["label"],
    sig_len: None,
};
