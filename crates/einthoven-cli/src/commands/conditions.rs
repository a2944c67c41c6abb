//! The options by which records are said to be like something: labels, numbers, sex and site.

use einthoven::Result;
use einthoven::dataset::condition::Fact;
use einthoven::dataset::wish::Wish;

/// What a record is to be like.
#[derive(clap::Args)]
pub struct Conditions {
    /// Label; AFIB+CRBBB is both at once, NORM:0.3+AFIB:0.7 lies between [default: none]
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

/// What records are to be like beside their labels: a number, or two between which each record draws its own.
#[derive(clap::Args)]
pub struct Facts {
    /// Heart rate, bpm, as in 110..140
    #[arg(long, value_name = "BPM")]
    hr: Option<String>,
    /// PR interval, ms
    #[arg(long, value_name = "MS")]
    pr: Option<String>,
    /// QRS duration, ms
    #[arg(long, value_name = "MS")]
    qrs: Option<String>,
    /// QTc after Fridericia, ms
    #[arg(long, value_name = "MS")]
    qtc: Option<String>,
    /// Frontal axis, degrees
    #[arg(long, value_name = "DEG", allow_hyphen_values = true)]
    axis: Option<String>,
    /// Age, years
    #[arg(long, value_name = "YEARS")]
    age: Option<String>,
    /// female or male
    #[arg(long)]
    sex: Option<String>,
    /// Site by its name in the training data
    #[arg(long)]
    site: Option<String>,
}

impl Conditions {
    /// As the library takes it.
    pub fn wish(&self) -> Result<Wish> {
        let mut wish = Wish { labels: self.label.iter().cloned().collect(), ..Wish::default() };
        self.facts.add_to(&mut wish)?;
        Ok(wish)
    }
}

impl Facts {
    /// Asks for what was given.
    pub fn add_to(&self, wish: &mut Wish) -> Result<()> {
        let each = [
            (Fact::Hr, &self.hr),
            (Fact::Pr, &self.pr),
            (Fact::Qrs, &self.qrs),
            (Fact::Qtc, &self.qtc),
            (Fact::Axis, &self.axis),
            (Fact::Age, &self.age),
            (Fact::Sex, &self.sex),
            (Fact::Site, &self.site),
        ];
        for (fact, asked) in each {
            if let Some(asked) = asked {
                wish.add(fact, asked)?;
            }
        }
        Ok(())
    }
}
