//! Lines for people: cleaned, broken to fit a terminal, coloured where somebody sees it.

use std::io::IsTerminal;

/// Columns that every terminal has.
pub(super) const WIDTH: usize = 80;

/// Whether this stream takes colours: a terminal, and nobody said `NO_COLOR`.
pub(super) fn colours(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && set("NO_COLOR").is_none() && !dumb
}

/// How a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    Plain,
    /// What is wrong.
    Bad,
    /// What is well.
    Good,
    /// What may be wrong.
    Odd,
    /// A heading.
    Bold,
    /// What is read last.
    Faint,
}

impl Style {
    /// The text with the codes around it, if there are to be any.
    pub(super) fn paint(self, text: &str, colours: bool) -> String {
        let code = match self {
            _ if !colours || text.is_empty() => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Bad => "31",
            Style::Good => "32",
            Style::Odd => "33",
            Style::Bold => "1",
            Style::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Text from elsewhere must not steer the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Lines of at most `width` characters, broken at blanks, longer words anywhere; at least one.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().flat_map(|word| pieces(word, width)) {
        let room = lines.last().map_or(0, |line| line.chars().count());
        if room > 0 && room + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines
}

/// A word in parts of at most `width` characters.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(width.max(1)).map(|part| part.iter().collect()).collect()
}

/// Bytes for people: `100 B`, `1.5 KiB`, `12 MiB`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let fits = |power: u32| count >> (10 * power) < 1024;
    let Some(power) = (1..=6).find(|power| fits(*power)).filter(|_| count >= 1024) else {
        return format!("{count} B");
    };
    let unit = units.get(power as usize - 1).unwrap_or(&"EiB");
    let whole = count >> (10 * power);
    let tenth = ((count >> (10 * (power - 1))) & 1023) * 10 / 1024;
    if whole < 10 { format!("{whole}.{tenth} {unit}") } else { format!("{whole} {unit}") }
}

/// A span for people: `87 ms`, `5.2 s`, `12 min`, `3 h`.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_whatever_the_words_are() {
        let text = format!("short {} words", "x".repeat(25));
        assert_eq!(wrap(&text, 10), ["short", "xxxxxxxxxx", "xxxxxxxxxx", "xxxxx", "words"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("ä ö", 1), ["ä", "ö"]);
    }

    #[test]
    fn amounts_are_short() {
        let told: Vec<String> =
            [0, 1023, 1024, 1536, 10 << 20, 1 << 50, u64::MAX].map(bytes).into();
        assert_eq!(told, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 MiB", "1.0 PiB", "15 EiB"]);
        assert_eq!([87, 5_210, 720_000, 10_800_000].map(span), ["87 ms", "5.2 s", "12 min", "3 h"]);
    }

    #[test]
    fn a_style_is_nothing_without_colours() {
        assert_eq!(Style::Bad.paint("x", true), "\x1b[31mx\x1b[0m");
        for style in [Style::Bad, Style::Good, Style::Odd, Style::Bold, Style::Faint] {
            assert_eq!(style.paint("x", false), "x");
        }
        assert_eq!(clean("\x1b[2J\n"), "?[2J?");
    }
}
