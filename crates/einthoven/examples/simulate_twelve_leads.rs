//! Simulates records of one condition, with noise at a ratio in dB if one is given:
//! `cargo run --release --example simulate_twelve_leads -- af+rbbb FOLDER [N [SNR]]`.

use std::path::PathBuf;

use einthoven::Error;
use einthoven::simulate::dipole::{Request, write};

fn main() -> einthoven::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let condition = arguments.first().map_or("sinus", String::as_str);
    let folder = PathBuf::from(arguments.get(1).map_or("simulated", String::as_str));
    let n = arguments.get(2).and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut request = Request::new(condition)?;
    let snr =
        arguments.get(3).map(|snr| snr.parse().map_err(|_| Error::config("SNR", format!("found {snr}, expected dB"))));
    request.snr_db = snr.transpose()?;
    let truth = write::write_records(&request, n, 1, &folder)?;
    println!("{} records in {}", truth["records"].as_array().map_or(0, Vec::len), folder.display());
    Ok(())
}
