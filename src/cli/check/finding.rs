//! What `check` found: for people in 80 columns, for programs as JSON.

use std::borrow::Cow;

use serde::Serialize;

use crate::cli::text::{Style, WIDTH, clean, wrap};

/// Where the text of a finding begins.
const INDENT: usize = 15;

/// How a finding is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) enum Level {
    /// As it should be.
    #[serde(rename = "ok")]
    Good,
    /// Works, and may hurt later.
    #[serde(rename = "warn")]
    Odd,
    /// Does not work.
    #[serde(rename = "bad")]
    Bad,
}

/// One thing that was looked at. Its JSON is for programs: fields and ids stay as they are.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Finding {
    /// What was looked at, one word; where something is wrong, a point and which of its troubles.
    pub id: Cow<'static, str>,
    /// How it is meant.
    pub level: Level,
    /// What was seen.
    pub seen: String,
    /// Why it matters; empty where nothing is wrong.
    pub why: String,
    /// How to mend it; empty where nothing is wrong.
    pub mend: String,
}

impl Finding {
    pub(super) fn good(id: &'static str, seen: impl Into<String>) -> Finding {
        let (id, seen) = (id.into(), seen.into());
        Finding { id, level: Level::Good, seen, why: String::new(), mend: String::new() }
    }

    pub(super) fn odd(
        id: impl Into<Cow<'static, str>>,
        seen: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        let (seen, why, mend) = (seen.into(), why.into(), mend.into());
        Finding { id: id.into(), level: Level::Odd, seen, why, mend }
    }

    pub(super) fn bad(
        id: impl Into<Cow<'static, str>>,
        seen: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding { level: Level::Bad, ..Finding::odd(id, seen, why, mend) }
    }

    /// What was looked at.
    fn subject(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }
}

/// All of them and a sum, for people.
pub(super) fn text(findings: &[Finding], colours: bool) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (bad, odd) = (count(Level::Bad), count(Level::Odd));
    let all: String = findings.iter().map(|finding| show(finding, colours)).collect();
    let next = match (bad, odd) {
        (0, 0) => "; next: start the hive, and look at `redis-hive status`",
        _ => "; each says how",
    };
    format!("{all}\n{bad} to mend, {odd} to think about{next}\n")
}

/// All of them, for programs.
///
/// # Errors
///
/// None that is known: every finding is text.
pub(super) fn json(findings: &[Finding]) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(findings)? + "\n")
}

fn show(finding: &Finding, colours: bool) -> String {
    let (word, style) = match finding.level {
        Level::Good => ("ok", Style::Good),
        Level::Odd => ("warn", Style::Odd),
        Level::Bad => ("BAD", Style::Bad),
    };
    let word = style.paint(&format!("{word:5}"), colours);
    let mut text = format!("{word} {:8} ", finding.subject());
    let parts = [("", &finding.seen), ("why:  ", &finding.why), ("mend: ", &finding.mend)];
    for (label, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
        for (at, line) in wrap(&clean(part), WIDTH - INDENT - label.len()).iter().enumerate() {
            if !text.ends_with(' ') {
                text.push_str(&" ".repeat(INDENT));
            }
            let width = label.len();
            let label = if at == 0 { label } else { "" };
            text.push_str(&format!("{label:width$}{line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(words: &str) -> Finding {
        Finding::bad("redis.old", words, words, words)
    }

    #[test]
    fn a_finding_says_what_why_and_how_in_eighty_columns() {
        for long in ["word ".repeat(40), "x".repeat(300)] {
            let text = show(&bad(&long), false);
            assert!(text.starts_with(&format!("BAD   redis    {}", &long[..5])), "{text}");
            assert!(text.contains(&format!("\n               why:  {}", &long[..5])), "{text}");
            assert!(text.contains(&format!("\n               mend: {}", &long[..5])), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
        assert_eq!(show(&Finding::good("dns", "fine"), false), "ok    dns      fine\n");
        assert_eq!(show(&Finding::good("dns", "a\x1b[2J"), false), "ok    dns      a?[2J\n");
        assert!(show(&bad("x"), true).starts_with("\x1b[31mBAD  \x1b[0m redis "));
    }

    #[test]
    fn programs_get_a_list_of_objects_that_stays_as_it_is() {
        let told = json(&[Finding::good("dns", "fine"), bad("\"x\"")]).expect("JSON");
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let wrong = "\"x\"";
        let expected = serde_json::json!([
            {"id": "dns", "level": "ok", "seen": "fine", "why": "", "mend": ""},
            {"id": "redis.old", "level": "bad", "seen": wrong, "why": wrong, "mend": wrong},
        ]);
        assert_eq!(told, expected);
    }

    #[test]
    fn the_sum_is_told_last() {
        let odd = Finding::odd("clock.unset", "a", "b", "c");
        let text = text(&[bad("x"), odd], false);
        assert!(text.ends_with("\n1 to mend, 1 to think about; each says how\n"), "{text}");
    }
}
