//! Reads single values and collects what is wrong with them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// One thing that is wrong with the settings: which flag, what was seen, how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// What is wrong and how to mend it, as a sentence.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flag, self.problem)
    }
}

/// Reads a span of time: a number and one of `ms`, `s`, `m`, `h`, such as `200ms` or `1.5s`.
///
/// `None` for anything else: no unit, a sign, an exponent, more than a year.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_s = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * unit_s;
    let whole_ms = (seconds * 1000.0).round();
    (whole_ms <= 365.0 * 86_400_000.0).then(|| Duration::from_millis(whole_ms as u64))
}

/// Writes a span as [`parse_duration`] reads it.
pub fn show_duration(span: Duration) -> String {
    let ms = span.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ if ms > 1000 => format!("{}s", ms as f64 / 1000.0),
        _ => format!("{ms}ms"),
    }
}

/// Reads a number of bytes: a number and no unit (or `B`), one of `KB`, `MB`, `GB`, `TB` (powers of
/// 1000), or of `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024; `Ki` to `Ti` as Kubernetes writes them).
/// Case does not matter.
///
/// `None` for anything else, and for what is no whole number of bytes or beyond 2^63.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let power = |base: u64, exponent| Some(base.pow(exponent));
    let unit_bytes = match unit.as_str() {
        "" | "b" => Some(1),
        "kb" => power(1000, 1),
        "mb" => power(1000, 2),
        "gb" => power(1000, 3),
        "tb" => power(1000, 4),
        "kib" | "ki" => power(1024, 1),
        "mib" | "mi" => power(1024, 2),
        "gib" | "gi" => power(1024, 3),
        "tib" | "ti" => power(1024, 4),
        _ => None,
    }?;
    if !number.contains('.') {
        let bytes = number.parse::<u64>().ok()?.checked_mul(unit_bytes)?;
        return (bytes <= 1 << 63).then_some(bytes);
    }
    let bytes = number.parse::<f64>().ok()? * unit_bytes as f64;
    (bytes.fract() == 0.0 && bytes <= (1_u64 << 53) as f64).then_some(bytes as u64)
}

/// Reads values one by one; what cannot be read becomes an error and the default goes on.
pub(super) struct Reader<'a> {
    /// The flags (without dashes) whose value came from the environment.
    pub from_env: &'a BTreeSet<String>,
    /// All that is wrong so far.
    pub errors: Vec<ConfigError>,
    /// All that is odd so far.
    pub warnings: Vec<String>,
}

impl Reader<'_> {
    /// Notes an error.
    pub fn error(&mut self, flag: &'static str, problem: impl Into<String>) {
        self.errors.push(ConfigError { flag, problem: problem.into() });
    }

    /// Whether the flag's value came from its environment variable.
    pub fn is_env(&self, flag: &str) -> bool {
        self.from_env.contains(flag.trim_start_matches('-'))
    }

    /// The value, or the default where the variable is set to nothing (an unset template value).
    fn or_default<'t>(&self, flag: &str, text: &'t str, default: &'t str) -> &'t str {
        if text.trim().is_empty() && self.is_env(flag) { default } else { text.trim() }
    }

    /// An optional value; an empty variable counts as not given.
    pub fn optional<'t>(&self, flag: &str, text: Option<&'t String>) -> Option<&'t str> {
        let text = text?.trim();
        (!text.is_empty() || !self.is_env(flag)).then_some(text)
    }

    /// The path of an optional file. A flag that names none is an error: it would otherwise count as not
    /// given, and what it was to protect would stand open.
    pub fn file(&mut self, flag: &'static str, text: Option<&String>) -> Option<PathBuf> {
        let path = self.optional(flag, text)?;
        if path.is_empty() {
            self.error(flag, "give the path of a file, or leave the flag out");
            return None;
        }
        Some(PathBuf::from(path))
    }

    /// A span of time within `range`.
    pub fn duration(
        &mut self,
        flag: &'static str,
        text: &str,
        default: &str,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let text = self.or_default(flag, text, default);
        match parse_duration(text) {
            Some(span) if range.contains(&span) => return span,
            Some(_) => self.error(
                flag,
                format!(
                    "'{text}' is out of range: give {} to {}",
                    show_duration(*range.start()),
                    show_duration(*range.end())
                ),
            ),
            None => self.error(
                flag,
                format!(
                    "'{text}' is not a time: give a number and a unit, such as 200ms, 1.5s or 2m"
                ),
            ),
        }
        parse_duration(default).unwrap_or(*range.start())
    }

    /// A whole number within `range`.
    pub fn number(
        &mut self,
        flag: &'static str,
        text: &str,
        default: &str,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let text = self.or_default(flag, text, default);
        match text.parse::<u32>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = (range.start(), range.end());
                self.error(flag, format!("'{text}' is no number from {low} to {high}"));
                default.parse().unwrap_or(*low)
            }
        }
    }

    /// A number of bytes within `range`.
    pub fn size(
        &mut self,
        flag: &'static str,
        text: &str,
        default: &str,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let text = self.or_default(flag, text, default);
        match parse_size(text) {
            Some(bytes) if range.contains(&bytes) => return bytes,
            Some(_) => {
                self.error(
                    flag,
                    format!("'{text}' is too little: give at least {} bytes", range.start()),
                );
            }
            None => self.error(
                flag,
                format!(
                    "'{text}' is no size: give bytes, or a number and a unit, such as 512MB or 2GiB"
                ),
            ),
        }
        parse_size(default).unwrap_or(*range.start())
    }

    /// Yes or no; not given means no.
    pub fn yes(&mut self, flag: &'static str, text: Option<&String>) -> bool {
        match self.optional(flag, text).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "yes" | "on" | "1") => true,
            None | Some("false" | "no" | "off" | "0") => false,
            Some(other) => {
                self.error(flag, format!("'{other}' is neither true nor false"));
                false
            }
        }
    }

    /// One of two words, the first of which is the default and means true.
    pub fn either(&mut self, flag: &'static str, text: &str, words: [&str; 2]) -> bool {
        let [yes, no] = words;
        match self.or_default(flag, text, yes) {
            text if text == yes => true,
            text if text == no => false,
            other => {
                self.error(flag, format!("'{other}' is unknown: give {yes} or {no}"));
                true
            }
        }
    }

    /// A port. Kubernetes makes variables such as `HIVE_PEER_PORT=tcp://10.0.0.1:6379` for a
    /// Service named `hive-peer`: those are not meant for us.
    pub fn port(&mut self, flag: &'static str, text: &str, default: &str) -> u16 {
        let text = self.without_service_link(flag, text, default);
        match text.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                self.error(flag, format!("'{text}' is no port: give a number from 1 to 65535"));
                default.parse().unwrap_or(1)
            }
        }
    }

    /// A port as [`Reader::port`] reads it, or 0 for `None`.
    pub fn port_or_off(&mut self, flag: &'static str, text: &str, default: &str) -> Option<u16> {
        let text = self.without_service_link(flag, text, default);
        match text.parse::<u16>() {
            Ok(port) => (port > 0).then_some(port),
            Err(_) => {
                let problem = format!("'{text}' is no port: give 1 to 65535, or 0 for none");
                self.error(flag, problem);
                default.parse().ok()
            }
        }
    }

    /// The value, or the default with a warning where the variable is a Service's address.
    fn without_service_link<'t>(
        &mut self,
        flag: &'static str,
        text: &'t str,
        default: &'t str,
    ) -> &'t str {
        let text = self.or_default(flag, text, default);
        let linked = ["tcp://", "udp://", "sctp://"].iter().any(|start| text.starts_with(start));
        if !self.is_env(flag) || !linked {
            return text;
        }
        let variable = flag.trim_start_matches('-').replace('-', "_").to_uppercase();
        self.warnings.push(format!(
            "the variable HIVE_{variable}={text} looks like a Kubernetes service link and is \
             ignored; set enableServiceLinks: false on the pod, or give {flag}"
        ));
        default
    }

    /// An IP address; an IPv4 address mapped into IPv6 becomes the IPv4 address.
    pub fn ip(&mut self, flag: &'static str, text: &str) -> Option<IpAddr> {
        match text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => Some(ip.to_canonical()),
            Err(_) => {
                self.error(flag, format!("'{text}' is no IP address, such as 10.0.0.7 or fd00::7"));
                None
            }
        }
    }

    /// `IP:PORT`, or `IP` alone where there is a default port. `localhost` is 127.0.0.1.
    pub fn socket(
        &mut self,
        flag: &'static str,
        text: &str,
        default_port: Option<u16>,
    ) -> Option<SocketAddr> {
        let numeric = match text.strip_prefix("localhost") {
            Some(rest) => format!("127.0.0.1{rest}"),
            None => text.to_owned(),
        };
        let whole = numeric.parse::<SocketAddr>().ok();
        let bare = default_port.and_then(|port| {
            let ip = numeric.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
            Some(SocketAddr::new(ip, port))
        });
        match whole.or(bare) {
            Some(addr) if addr.port() > 0 => {
                Some(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
            }
            _ => {
                let form = if default_port.is_some() { "IP or IP:PORT" } else { "IP:PORT" };
                self.error(
                    flag,
                    format!("'{text}' is no address: give {form}, IPv6 as [fd00::7]:6379"),
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        let ms = |text| parse_duration(text).map(|span| span.as_millis());
        assert_eq!(ms("200ms"), Some(200));
        assert_eq!(ms("1s"), Some(1000));
        assert_eq!(ms("1.5s"), Some(1500));
        assert_eq!(ms("2m"), Some(120_000));
        assert_eq!(ms("1h"), Some(3_600_000));
        for bad in
            ["", "5", "-1s", "1e3s", "s", ".", "1.2.3s", "1 week", "99999999h", "NaNs", "infs"]
        {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_with_or_without_a_unit() {
        assert_eq!(parse_size("1048576"), Some(1 << 20));
        assert_eq!(parse_size("512MB"), Some(512_000_000));
        assert_eq!(parse_size("2GiB"), Some(2 << 30));
        assert_eq!(parse_size(" 1.5 gi "), Some(3 << 29));
        assert_eq!(parse_size("1TiB"), Some(1 << 40));
        for bad in [
            "",
            "GB",
            "-1",
            "1e9",
            "1.5",
            "0.3B",
            "1.2.3GB",
            "5 cats",
            "99999999999TB",
            "NaN",
            "1m",
        ] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "200ms", "1s", "1.5s", "2m", "90s"] {
            let span = parse_duration(text).expect(text);
            assert_eq!(parse_duration(&show_duration(span)), Some(span), "{text}");
        }
    }
}
