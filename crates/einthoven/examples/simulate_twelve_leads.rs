//! Simulates records of one condition: `cargo run --release --example simulate_twelve_leads -- af+rbbb FOLDER [N]`.

use std::path::PathBuf;

use einthoven::simulate::dipole::{Request, write};

fn main() -> einthoven::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let condition = arguments.first().map_or("sinus", String::as_str);
    let folder = PathBuf::from(arguments.get(1).map_or("simulated", String::as_str));
    let n = arguments.get(2).and_then(|n| n.parse().ok()).unwrap_or(1);
    let truth = write::write_records(&Request::new(condition)?, n, 1, &folder)?;
    println!("{} records in {}", truth["records"].as_array().map_or(0, Vec::len), folder.display());
    Ok(())
}
