//! What a network is told: a vector that sums rows of learned tables, one row for each label and fact.
//!
//! Labels weigh their rows, as in SSSD-ECG; shares between labels are points between their rows. A fact that is a
//! number lies between two of its [`KNOTS`] and mixes their rows, so that near values are told alike; each fact has
//! one more row for "not known". Tables are as wide as the label embedding, whatever the network's width is.
//!
//! # Reference
//! Alcaraz and Strodthoff 2023, "Diffusion-based conditional ECG generation", section on conditioning, for the sum;
//! SSSD-ECG-nle (arXiv 2407.11108) for pairs of rows, merged over the labels by one weight each.

use burn::tensor::Tensor;

use super::kernel::linear;
use super::layer::declare_constant;
use super::weights::{Init, ParamSpec, View};
use crate::dataset::Facts;
use crate::dataset::condition::{Fact, Number, Sex, Told};

/// Rows of a number, evenly spaced over its usual range, or around the circle.
pub const KNOTS: usize = 8;

/// The table of facts.
pub(super) const FACT_TABLE: &str = "facts_embedding.weight";
/// Start of its rows as a share of that of the labels: several are summed to the size of one label's.
const FACT_START: f64 = 0.4;

fn n_rows_of(fact: Fact, told: &Told) -> usize {
    let n_known = match fact {
        Fact::Sex => 2,
        Fact::Site => told.sites.len(),
        _ => KNOTS,
    };
    n_known + 1
}

/// Rows that the facts take beside the labels.
pub fn n_rows(told: &Told) -> usize {
    told.facts.iter().map(|&fact| n_rows_of(fact, told)).sum()
}

/// How much each row counts for an item, in the order of the facts; a site that is not known by name is "not known".
pub fn rows(told: &Told, facts: &Facts) -> Vec<f32> {
    let mut out = Vec::with_capacity(n_rows(told));
    for &fact in &told.facts {
        let mut of_fact = vec![0.0; n_rows_of(fact, told)];
        let missing = of_fact.len() - 1;
        match (fact.number(), fact) {
            (Some(number), _) => match facts.number(fact) {
                Some(value) => knots(number, value).into_iter().for_each(|(knot, share)| of_fact[knot] += share),
                None => of_fact[missing] = 1.0,
            },
            (None, Fact::Sex) => of_fact[facts.sex.map_or(missing, |sex| usize::from(sex == Sex::Male))] = 1.0,
            (None, _) => {
                let known = facts.site.as_ref().and_then(|site| told.sites.iter().position(|name| name == site));
                of_fact[known.unwrap_or(missing)] = 1.0;
            }
        }
        out.extend(of_fact);
    }
    out
}

/// What each row stands for, in their order, such as `hr=40`; numbers in the unit of the fact.
pub fn row_names(told: &Told) -> Vec<String> {
    let of_fact = |&fact: &Fact| {
        let mut known: Vec<String> = match (fact.number(), fact) {
            (Some(number), _) => (0..KNOTS).map(|knot| knot_value(number, knot).to_string()).collect(),
            (None, Fact::Sex) => ["female", "male"].map(String::from).to_vec(),
            (None, _) => told.sites.clone(),
        };
        known.push("unknown".into());
        known.into_iter().map(move |value| format!("{}={value}", fact.name()))
    };
    told.facts.iter().flat_map(of_fact).collect()
}

/// Steps between the knots of a number: around a circle there is one more.
fn n_steps(number: &Number) -> usize {
    if number.fact == Fact::Axis { KNOTS } else { KNOTS - 1 }
}

fn knot_value(number: &Number, knot: usize) -> f64 {
    let [low, high] = number.usual;
    low + (high - low) * knot as f64 / n_steps(number) as f64
}

/// The two knots around a value and their shares.
fn knots(number: &Number, value: f64) -> [(usize, f32); 2] {
    let [low, high] = number.usual;
    let n_steps = n_steps(number);
    let at = ((value - low) / (high - low)).clamp(0.0, 1.0) * n_steps as f64;
    let below = (at as usize).min(n_steps - 1);
    let share = (at - below as f64) as f32;
    [(below, 1.0 - share), ((below + 1) % KNOTS, share)]
}

/// The tables of a network.
pub struct ToldTables<'a> {
    /// Name of the label table.
    pub name: &'a str,
    /// Number of labels.
    pub n_labels: usize,
    /// Whether a label has a row for its absence too.
    pub is_paired: bool,
    /// Facts.
    pub told: &'a Told,
}

impl ToldTables<'_> {
    /// Declares the tables, of a common width.
    pub fn declare(&self, out: &mut Vec<ParamSpec>, width: usize) {
        let name = self.name;
        if self.n_labels > 0 {
            declare_constant(out, &format!("{name}.weight"), &[self.n_labels, width], Init::Normal(1.0));
            if self.is_paired {
                declare_constant(out, &format!("{name}.absent"), &[self.n_labels, width], Init::Normal(1.0));
                let merge = Init::Uniform(1.0 / (self.n_labels as f64).sqrt());
                declare_constant(out, &format!("{name}.merge.weight"), &[1, self.n_labels], merge);
                declare_constant(out, &format!("{name}.merge.bias"), &[1, 1], Init::Zeros);
            }
        }
        self.declare_facts(out, width, 1.0);
    }

    /// Declares the table of facts alone, beside a table of labels that starts with a standard deviation.
    pub fn declare_facts(&self, out: &mut Vec<ParamSpec>, width: usize, label_start: f64) {
        if !self.told.is_empty() {
            declare_constant(out, FACT_TABLE, &[n_rows(self.told), width], Init::Normal(FACT_START * label_start));
        }
    }

    /// The vector of each item; `None` for a network that is told nothing.
    ///
    /// # Shape
    /// `rows` is `[batch, label + fact row]`, how much each counts; the result is `[batch, width]`.
    pub fn embed(&self, p: &View, rows: Tensor<2>) -> Option<Tensor<2>> {
        let labels = (self.n_labels > 0).then(|| {
            let p = p.at(self.name);
            let weights = match self.told.is_empty() {
                true => rows.clone(),
                false => rows.clone().narrow(1, 0, self.n_labels),
            };
            if !self.is_paired {
                return summed(weights, p.get("weight"));
            }
            // A row of zeros says nothing, not that every label is absent.
            let said = weights.clone().sum_dim(1).greater_elem(0.0).float();
            let absent = said.clone() - weights.clone();
            let merge: Tensor<2> = p.get("merge.weight");
            let present = summed(weights * merge.clone(), p.get("weight"));
            present + summed(absent * merge, p.get("absent")) + said * p.get("merge.bias")
        });
        match (labels, self.embed_facts(p, rows)) {
            (Some(labels), Some(facts)) => Some(labels + facts),
            (labels, facts) => labels.or(facts),
        }
    }

    /// As [`ToldTables::embed`], with a label table that has one more row, for "no label".
    ///
    /// # Shape
    /// `rows` is `[batch, label + fact row]`, flat.
    pub fn embed_or_none(&self, p: &View, rows: &[f32], batch: usize) -> Option<Tensor<2>> {
        let (n, n_told) = (self.n_labels, self.n_labels + n_rows(self.told));
        let labels = (n > 0).then(|| {
            // Rows of weights instead of a lookup: its gradient adds in a fixed order.
            let mut weights = vec![0.0f32; batch * (n + 1)];
            for (i, row) in weights.chunks_mut(n + 1).enumerate() {
                let said = &rows[i * n_told..][..n];
                row[..n].copy_from_slice(said);
                row[n] = f32::from(u8::from(said.iter().all(|&weight| weight == 0.0)));
            }
            let table: Tensor<2> = p.at(self.name).get("weight");
            summed(Tensor::<1>::from_floats(weights.as_slice(), &table.device()).reshape([batch, n + 1]), table)
        });
        let facts = (!self.told.is_empty()).then(|| {
            let table: Tensor<2> = p.get(FACT_TABLE);
            self.embed_facts(p, Tensor::<1>::from_floats(rows, &table.device()).reshape([batch, n_told]))
        });
        match (labels, facts.flatten()) {
            (Some(labels), Some(facts)) => Some(labels + facts),
            (labels, facts) => labels.or(facts),
        }
    }

    /// The share of the facts in it.
    fn embed_facts(&self, p: &View, rows: Tensor<2>) -> Option<Tensor<2>> {
        let n = n_rows(self.told);
        (n > 0).then(|| summed(rows.narrow(1, self.n_labels, n), p.get(FACT_TABLE)))
    }
}

/// The rows of a table, summed as much as each counts: a linear map, whose rows have the same bits in any batch.
fn summed(counts: Tensor<2>, table: Tensor<2>) -> Tensor<2> {
    let zeros = Tensor::zeros([table.dims()[1]], (&table.device(), table.dtype()));
    linear(counts, table.transpose(), zeros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::condition::{FACTS, NUMBERS};

    fn told() -> Told {
        Told { facts: FACTS.to_vec(), sites: vec!["a".into(), "b".into()] }
    }

    #[test]
    fn what_is_not_known_has_a_row_of_its_own() {
        let (told, n) = (told(), n_rows(&told()));
        assert_eq!(n, 6 * (KNOTS + 1) + 3 + 3);
        let nothing = rows(&told, &Facts::default());
        assert_eq!((nothing.len(), nothing.iter().sum::<f32>()), (n, 8.0));
        let of = |facts: &Facts| rows(&told, facts);
        let site = of(&Facts { site: Some("b".into()), ..Facts::default() });
        assert_eq!(site[n - 3..], [0.0, 1.0, 0.0]);
        assert_eq!(of(&Facts { site: Some("c".into()), ..Facts::default() }), nothing);
        let names = row_names(&told);
        assert_eq!((names.len(), &names[n - 2][..], &names[8][..]), (n, "site=b", "hr=unknown"));
        let knot: f64 = names[3].strip_prefix("hr=").and_then(|value| value.parse().ok()).unwrap();
        assert!((of(&Facts { hr_bpm: Some(knot), ..Facts::default() })[3] - 1.0).abs() < 1e-6);
        let sex = of(&Facts { sex: Some(Sex::Male), ..Facts::default() });
        assert_eq!(sex[n - 6..n - 3], [0.0, 1.0, 0.0]);
    }

    #[test]
    fn numbers_are_told_continuously_and_angles_around_the_circle() {
        for number in &NUMBERS {
            let [low, high] = number.usual;
            let told = Told { facts: vec![number.fact], sites: Vec::new() };
            let of = |value: f64| {
                let mut facts = Facts::default();
                facts.set_number(number.fact, Some(value));
                rows(&told, &facts)
            };
            let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>();
            for k in 0..100 {
                let value = low + (high - low) * f64::from(k) / 100.0;
                assert!((of(value).iter().sum::<f32>() - 1.0).abs() < 1e-6);
                let step = distance(&of(value), &of(value + (high - low) / 100.0));
                assert!((0.01..0.2).contains(&step), "{} at {value}: {step}", number.column);
            }
            let ends = distance(&of(low), &of(high));
            assert_eq!(ends, if number.fact == Fact::Axis { 0.0 } else { 2.0 }, "{}", number.column);
        }
    }

    /// A product of matrices sums tables of more than some hundred rows in another order for one item than for several.
    #[test]
    fn an_item_is_told_the_same_in_any_batch() {
        use crate::nn::weights::{Weights, host};
        use crate::seed::Seed;
        use burn::tensor::{Device, TensorData};

        let (told, device) = (told(), Device::flex());
        for (n_labels, is_paired) in [(2, false), (71, true), (1000, false), (1000, true)] {
            let tables = ToldTables { name: "embedding", n_labels, is_paired, told: &told };
            let n_told = n_labels + n_rows(&told);
            let mut specs = Vec::new();
            tables.declare(&mut specs, 20);
            let mut with_none = specs.clone();
            with_none[0].shape[0] += 1;
            let [params, with_none] =
                [specs, with_none].map(|specs| Weights::initialize(&specs, Seed::new(4)).on(&device));
            let embed = |of: &[f32]| {
                let batch = of.len() / n_told;
                let rows = Tensor::<2>::from_data(TensorData::new(of.to_vec(), [batch, n_told]), &device);
                let plain = host(tables.embed(&params.root(), rows).expect("labels"));
                (plain, host(tables.embed_or_none(&with_none.root(), of, batch).expect("labels")))
            };
            let mut stream = Seed::new(2).stream();
            let rows: Vec<f32> = (0..17 * n_told).map(|_| stream.uniform() as f32).collect();
            let together = embed(&rows);
            for batch in [1, 2, 3, 8] {
                let (plain, or_none): (Vec<_>, Vec<_>) = rows.chunks(batch * n_told).map(embed).unzip();
                assert!((plain.concat(), or_none.concat()) == together, "{n_labels} labels in batches of {batch}");
            }
        }
    }

    #[test]
    fn pairs_tell_absence_from_silence() {
        use crate::nn::weights::{Weights, host};
        use crate::seed::Seed;
        use burn::tensor::{Device, TensorData};

        let told = Told::default();
        let tables = ToldTables { name: "embedding", n_labels: 2, is_paired: true, told: &told };
        let mut specs = Vec::new();
        tables.declare(&mut specs, 3);
        let device = Device::flex();
        let weights = Weights::initialize(&specs, Seed::new(4));
        let params = weights.on(&device);
        let embed = |rows: [f32; 2]| {
            let rows = Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [1, 2]), &device);
            host(tables.embed(&params.root(), rows).expect("labels"))
        };
        let values = |name: &str| weights.entries[&format!("embedding.{name}")].values.clone();
        let (present, absent, merge) = (values("weight"), values("absent"), values("merge.weight"));
        assert_eq!(embed([0.0, 0.0]), [0.0; 3]);
        for (k, found) in embed([1.0, 0.0]).into_iter().enumerate() {
            let expected = merge[0] * present[k] + merge[1] * absent[3 + k];
            assert!((found - expected).abs() < 1e-6, "{found} and {expected}");
        }
    }
}
