//! Synthetic whole records, one for each item of a data set.
//!
//! Points are whole numbers. Of twelve leads, I and II are rounded and the other limb leads follow from the rounded
//! ones, the augmented leads at twice the gain, so that the laws hold to the last count.

use super::Dataset;
use super::plus::{GAIN_ADU_PER_MV, refuse_real, synthetic_comments};
use crate::error::Result;
use crate::record::lead_law::{TWELVE, derive_limb_counts};
use crate::record::{Lead, Record};

/// An item as a record of its own name, with its labels in a comment.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) for a real item; [`Error::Input`](crate::Error::Input) `D12` for amplitudes that 16
/// bits cannot hold.
pub fn item_record(data: &Dataset, item: usize) -> Result<Record> {
    refuse_real(data, item..item + 1, "records")?;
    let mut record = Record::new(&data.record[item], data.fs_hz);
    record.sig_len = data.sig_len;
    for (name, mv) in data.leads.iter().zip(data.item(item).chunks(data.sig_len)) {
        record.leads.push(Lead::from_mv(name, mv, GAIN_ADU_PER_MV)?);
    }
    if data.leads == TWELVE {
        let limbs: Vec<[i32; 4]> =
            (0..data.sig_len).map(|t| derive_limb_counts(record.leads[0].adu[t], record.leads[1].adu[t])).collect();
        for (lead, name) in TWELVE.iter().enumerate().skip(2).take(4) {
            let gain = if lead == 2 { GAIN_ADU_PER_MV } else { 2.0 * GAIN_ADU_PER_MV };
            record.leads[lead] = Lead::new(*name, gain, limbs.iter().map(|limbs| limbs[lead - 2]).collect());
        }
    }
    record.comments = synthetic_comments(&data.provenance, [data.index[item]; 2]);
    let labels: Vec<&str> = data.labels_of(item).map(|label| data.label_names[label].as_str()).collect();
    record.comments.push(format!("Labels: {}", labels.join(", ")));
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;
    use crate::record::lead_law::twelve_from_eight;

    #[test]
    fn twelve_leads_obey_the_laws_to_the_last_count_in_the_files() {
        let eight: Vec<f32> = (0..8 * 40).map(|k| (k as f32 * 0.71).sin()).collect();
        let mut data = Dataset::new(TWELVE.map(String::from).to_vec(), 40, 100.0, vec!["AFIB".into(), "LBBB".into()]);
        data.ecg = twelve_from_eight(&eight);
        data.labels = vec![1, 1];
        (data.record, data.patient) = (vec!["syn_000003".into()], vec!["syn_000003".into()]);
        (data.split, data.index) = (vec![Split::Train], vec![3]);
        data.provenance = serde_json::json!({ "synthetic": true, "generator": "test" });
        let record = item_record(&data, 0).unwrap();
        let count = |lead: usize, t: usize| i64::from(record.leads[lead].adu[t]);
        for t in 0..40 {
            assert_eq!(count(0, t) + count(2, t), count(1, t));
            assert_eq!(count(3, t) + count(4, t) + count(5, t), 0);
            assert_eq!(count(4, t), count(0, t) - count(2, t));
        }
        assert!(record.comments.iter().any(|line| line == "Labels: AFIB, LBBB"), "{:?}", record.comments);
        data.provenance = serde_json::Value::Null;
        data.record = vec!["100".into()];
        assert!(item_record(&data, 0).is_err());
    }
}
