//! What is known of the items beside their labels, as arrays: numbers in one, sex and site in one each.

use std::collections::BTreeMap;
use std::io::{Seek, Write};

use zip::ZipWriter;

use super::npy::{Array, Values};
use crate::dataset::Facts;
use crate::dataset::condition::{self, NUMBERS};
use crate::error::{Error, Result};
use crate::record::format::npz::archive::write_entry;

/// The keys; all are there or none.
const KEYS: [&str; 4] = ["facts", "fact_names", "sex", "site"];

/// Writes the arrays.
pub(super) fn write<W: Write + Seek>(archive: &mut ZipWriter<W>, facts: &[Facts]) -> std::io::Result<()> {
    let n = facts.len();
    let numbers = facts.iter().flat_map(|of| NUMBERS.iter().map(|number| of.number(number.fact).unwrap_or(f64::NAN)));
    let sex = facts.iter().map(|of| of.sex.map_or("", condition::sex_name).to_string()).collect();
    let site = facts.iter().map(|of| of.site.clone().unwrap_or_default()).collect();
    let names = NUMBERS.iter().map(|number| number.column.to_string()).collect();
    write_entry(archive, "facts", &[n, NUMBERS.len()], &Values::F64(numbers.collect()))?;
    write_entry(archive, "fact_names", &[NUMBERS.len()], &Values::Text(names))?;
    write_entry(archive, "sex", &[n], &Values::Text(sex))?;
    write_entry(archive, "site", &[n], &Values::Text(site))
}

/// Takes the arrays out of an archive; `None` where it has none of them.
///
/// # Errors
/// What `fault(field, found, expected)` makes of arrays that are incomplete or no facts of `n` items.
pub(super) fn read(
    arrays: &mut BTreeMap<String, Array>,
    n: usize,
    fault: &dyn Fn(&str, String, &str) -> Error,
) -> Result<Option<Vec<Facts>>> {
    if !KEYS.iter().any(|key| arrays.contains_key(*key)) {
        return Ok(None);
    }
    let mut take = |key: &str| {
        arrays.remove(key).ok_or_else(|| fault(key, "no such array".into(), "facts, fact_names, sex and site together"))
    };
    let [numbers, names, sex, site] = [take("facts")?, take("fact_names")?, take("sex")?, take("site")?];
    let text = |key: &str, array: Array| match array.values {
        Values::Text(texts) => Ok(texts),
        other => Err(fault(key, other.kind().into(), "text")),
    };
    let names = text("fact_names", names)?;
    let (sex, site) = (text("sex", sex)?, text("site", site)?);
    if numbers.shape != [n, names.len()] || sex.len() != n || site.len() != n {
        let found = format!("shapes {:?}, [{}] and [{}]", numbers.shape, sex.len(), site.len());
        return Err(fault("facts", found, &format!("[{n}, {}], [{n}] and [{n}]", names.len())));
    }
    let values: Vec<f64> = match numbers.values {
        Values::F64(values) => values,
        Values::F32(values) => values.into_iter().map(f64::from).collect(),
        other => return Err(fault("facts", other.kind().into(), "f8 or f4")),
    };
    let columns = names
        .iter()
        .map(|name| NUMBERS.iter().find(|number| number.column == name).ok_or(name))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|name| {
            let known: Vec<&str> = NUMBERS.iter().map(|number| number.column).collect();
            fault("fact_names", format!("\"{name}\""), &format!("one of {}", known.join(", ")))
        })?;
    let mut facts = vec![Facts::default(); n];
    for (i, of) in facts.iter_mut().enumerate() {
        for (column, &value) in columns.iter().zip(&values[i * names.len()..]) {
            if value.is_nan() {
                continue;
            }
            if value.is_infinite() {
                return Err(fault("facts", format!("{value} as {} of item {i}", column.column), "a finite number"));
            }
            of.set_number(column.fact, Some(value));
        }
        of.sex = match sex[i].as_str() {
            "" => None,
            name => Some(
                condition::sex_of(name)
                    .ok_or_else(|| fault("sex", format!("\"{name}\""), "female, male or nothing"))?,
            ),
        };
        of.site = (!site[i].is_empty()).then(|| site[i].clone());
    }
    Ok(Some(facts))
}
