//! Writes samples, a family at a time: its description comes first, also where it has no sample.

use std::fmt::{Error, Write};

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::Written;
use crate::http::figures::{BUCKETS, Histogram};

/// Keys and values.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Labels of fixed words.
pub(super) fn labelled<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key, value.to_owned())).collect()
}

/// What a family is.
pub(super) struct About {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
}

impl About {
    /// Without a unit. `name` lacks the prefix, the unit and `_total`, which are written behind it.
    pub fn of(name: &'static str, help: &'static str) -> About {
        About { name, help, unit: None }
    }

    /// With this unit.
    pub fn unit(self, unit: Unit) -> About {
        About { unit: Some(unit), ..self }
    }
}

/// Where families are written to.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub fn new(encoder: DescriptorEncoder<'a>) -> Page<'a> {
        Page(encoder)
    }

    /// A gauge without labels or a unit.
    pub fn single(&mut self, name: &'static str, help: &'static str, value: u64) -> Written {
        self.gauge(About::of(name, help), [(Vec::new(), value)])
    }

    pub fn gauge<V: EncodeGaugeValue>(
        &mut self,
        about: About,
        samples: impl IntoIterator<Item = (Labels, V)>,
    ) -> Written {
        self.family(about, MetricType::Gauge, samples, |to, value| to.encode_gauge(&value))
    }

    pub fn counter<V: EncodeCounterValue>(
        &mut self,
        about: About,
        samples: impl IntoIterator<Item = (Labels, V)>,
    ) -> Written {
        self.family(about, MetricType::Counter, samples, |to, value| {
            to.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    pub fn histogram(
        &mut self,
        about: About,
        samples: impl IntoIterator<Item = (Labels, Histogram)>,
    ) -> Written {
        self.family(about, MetricType::Histogram, samples, |to, value| {
            let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(value.counts).collect();
            to.encode_histogram::<NoLabelSet>(value.sum, value.count(), &buckets, None)
        })
    }

    fn family<V>(
        &mut self,
        about: About,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, V) -> Written,
    ) -> Written {
        let About { name, help, unit } = about;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in samples {
            match labels.is_empty() {
                true => write(&mut family, value)?,
                false => write(&mut family.encode_family(&labels)?, value)?,
            }
        }
        Ok(())
    }
}

/// The same page in the text format 0.0.4, where a counter's description bears its whole name, and
/// nothing says that the page ends.
pub(super) fn classic(page: &str) -> String {
    let mut text = String::with_capacity(page.len() + 1024);
    let counters: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    for line in page.lines() {
        let about = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        let Some((what, rest)) = about else {
            if line != "# EOF" {
                push(&mut text, format_args!("{line}"));
            }
            continue;
        };
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let total = if counters.contains(&name) { "_total" } else { "" };
        if what != "UNIT" {
            push(&mut text, format_args!("# {what} {name}{total} {rest}"));
        }
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _: Result<(), Error> = writeln!(text, "{line}");
}
