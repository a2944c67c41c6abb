//! Predictions as a table: one line per item, for whoever scores them elsewhere.

use std::fmt::Write;

use crate::dataset::Dataset;
use crate::error::{Error, Result};

/// Predictions as CSV: record, patient, part, index, true label, predicted label, one probability each.
///
/// Several true labels are joined by `+`.
///
/// # Shape
/// `probabilities` is `[n, label_names]`.
/// # Errors
/// [`Error::Shape`] when there is not one row of probabilities per item.
pub fn predictions_csv(data: &Dataset, label_names: &[String], probabilities: &[f64]) -> Result<String> {
    let n_labels = label_names.len();
    if probabilities.len() != data.len() * n_labels {
        return Err(Error::Shape {
            what: "probabilities".into(),
            expected: vec![data.len(), n_labels],
            actual: vec![probabilities.len()],
        });
    }
    let mut out = String::from("record,patient,part,index,true,predicted");
    for name in label_names {
        out.push_str(&format!(",{}", quoted(&format!("p_{name}"))));
    }
    out.push('\n');
    for (i, row) in probabilities.chunks(n_labels.max(1)).enumerate() {
        let on = &data.labels[i * data.n_labels()..(i + 1) * data.n_labels()];
        let truth: Vec<&str> =
            data.label_names.iter().zip(on).filter(|(_, on)| **on != 0).map(|(name, _)| name.as_str()).collect();
        let predicted = (0..n_labels).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        let texts = [
            data.record[i].as_str(),
            &data.patient[i],
            data.split[i].name(),
            &data.index[i].to_string(),
            &truth.join("+"),
            predicted.map_or("", |class| &label_names[class]),
        ];
        out.push_str(&texts.map(quoted).join(","));
        // Writing into a string cannot fail.
        row.iter().for_each(|p| _ = write!(out, ",{p:.6}"));
        out.push('\n');
    }
    Ok(out)
}

/// A field as RFC 4180 wants it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;

    #[test]
    fn a_line_per_item_with_quotes_where_needed() {
        let mut data = Dataset::new(vec!["I".into()], 1, 1.0, vec!["N".into(), "V".into()]);
        data.ecg = vec![0.0];
        data.labels = vec![0, 1];
        data.record = vec!["a,b".into()];
        data.patient = vec!["p".into()];
        data.split = vec![Split::Test];
        data.index = vec![7];
        let text = predictions_csv(&data, &data.label_names, &[0.25, 0.75]).unwrap();
        assert_eq!(text, "record,patient,part,index,true,predicted,p_N,p_V\n\"a,b\",p,test,7,V,V,0.250000,0.750000\n");
        assert!(predictions_csv(&data, &data.label_names, &[1.0]).is_err());
    }
}
