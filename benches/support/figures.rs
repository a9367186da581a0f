//! Samples to figures, and figures to a table.

/// All samples of one thing that was measured.
pub struct Figure {
    what: String,
    unit: &'static str,
    /// Digits after the point.
    digits: usize,
    budget: Option<Budget>,
    samples: Vec<f64>,
}

/// What DESIGN 4 allows.
#[derive(Clone, Copy)]
pub struct Budget {
    pub median: Option<f64>,
    pub worst: Option<f64>,
    /// The median has to be at least this.
    pub least: Option<f64>,
}

impl Budget {
    const NONE: Budget = Budget { median: None, worst: None, least: None };

    pub const fn median(median: f64) -> Budget {
        Budget { median: Some(median), ..Budget::NONE }
    }

    pub const fn worst(worst: f64) -> Budget {
        Budget { worst: Some(worst), ..Budget::NONE }
    }

    pub const fn both(median: f64, worst: f64) -> Budget {
        Budget { median: Some(median), worst: Some(worst), ..Budget::NONE }
    }

    pub const fn least(least: f64) -> Budget {
        Budget { least: Some(least), ..Budget::NONE }
    }

    /// Whether one sample is above what is allowed in the median, or else at all.
    pub fn exceeded_by(self, sample: f64) -> bool {
        self.median.or(self.worst).is_some_and(|most| sample > most)
    }
}

impl Figure {
    pub fn new(what: impl Into<String>, unit: &'static str, digits: usize) -> Figure {
        Figure { what: what.into(), unit, digits, budget: None, samples: Vec::new() }
    }

    pub fn within(mut self, budget: Budget) -> Figure {
        self.budget = Some(budget);
        self
    }

    pub fn add(&mut self, sample: f64) {
        self.samples.push(sample);
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Median, smallest, largest; `None` without a sample.
    fn summary(&self) -> Option<(f64, f64, f64)> {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[half]
        } else {
            (sorted[half - 1] + sorted[half]) / 2.0
        };
        Some((median, min, max))
    }

    /// A line of the table.
    fn row(&self) -> String {
        let Figure { what, unit, digits, .. } = self;
        let Some((median, min, max)) = self.summary() else {
            return format!("| {what} | 0 | - | - | - | - | |");
        };
        let n = self.samples.len();
        let (allowed, verdict) = match self.budget {
            None => ("-".to_owned(), ""),
            Some(budget) => {
                let fine = budget.median.is_none_or(|most| median <= most)
                    && budget.worst.is_none_or(|most| max <= most)
                    && budget.least.is_none_or(|least| median >= least);
                let part =
                    |name: &str, most: Option<f64>| most.map(|m| format!("{name} {m} {unit}"));
                let parts = [
                    part("median", budget.median),
                    part("max", budget.worst),
                    part("at least", budget.least),
                ];
                let text: Vec<String> = parts.into_iter().flatten().collect();
                (text.join(", "), if fine { "ok" } else { "MISSED" })
            }
        };
        format!(
            "| {what} | {n} | {median:.digits$} {unit} | {min:.digits$} {unit} | \
             {max:.digits$} {unit} | {allowed} | {verdict} |"
        )
    }
}

/// Prints the figures as a markdown table.
pub fn print(title: &str, figures: &[Figure]) {
    println!("\n### {title}\n");
    println!("| what | runs | median | min | max | budget | |");
    println!("|---|---:|---:|---:|---:|---|---|");
    figures.iter().for_each(|figure| println!("{}", figure.row()));
    println!();
}

/// The arguments of a program without those that cargo adds.
pub fn arguments() -> Vec<String> {
    std::env::args().skip(1).filter(|arg| arg != "--bench").collect()
}
