//! The options of the verbs that work on a record by a trained generator.

use std::path::{Path, PathBuf};

use einthoven::Result;
use einthoven::experiment::OnRecord;
use einthoven::record::format;

use super::refuse_overwrite;

/// A record, a generator, and what is known of both.
#[derive(clap::Args)]
pub struct RecordArgs {
    /// The record
    record: PathBuf,
    /// Run folder or model file of a diffusion generator of whole records, or `ecg12`, which comes along
    #[arg(long, value_name = "RUN|NAME", default_value = "ecg12")]
    model: PathBuf,
    /// Patient of the record by the id of the training data, for the warning that the generator knows it [default: by the
    /// table beside the record or by its name]
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Replace what exists
    #[arg(long)]
    force: bool,
}

impl RecordArgs {
    /// File of the record that is called `out`, which is refused where it exists and is not to be replaced.
    pub fn destination(&self, out: &Path) -> Result<PathBuf> {
        let out = format::destination(out)?;
        refuse_overwrite(&out, self.force)?;
        Ok(out)
    }

    /// As the library takes it, writing to `out`.
    pub fn writing<'a>(&'a self, out: Option<&'a Path>) -> OnRecord<'a> {
        OnRecord {
            record: &self.record,
            source: &self.model,
            patient: self.patient.as_deref(),
            device: &self.device,
            out,
            overwrite: self.force,
        }
    }
}
