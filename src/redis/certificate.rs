//! When a certificate is valid: the two dates of an X.509 certificate, and what they mean today.
//!
//! Only that much of DER is read. A certificate whose dates cannot be read has none; whether it is
//! to be trusted is decided elsewhere.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A certificate that ends within this time is told.
pub const SOON: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 86_400;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The tag of the version, which stands in front where it is not 1.
const VERSION: u8 = 0xa0;

/// From when to when a certificate is valid, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validity {
    /// The last second (`notAfter`); first, so that of two the one that ends earlier is less.
    pub until: u64,
    /// The first second (`notBefore`).
    pub from: u64,
}

/// How a certificate stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It begins in so many seconds.
    Early(u64),
    /// It ends in so many seconds.
    Valid(u64),
    /// It ended so many seconds ago.
    Expired(u64),
}

impl Validity {
    /// Reads the dates of a certificate in DER; `None` where it has none that can be read.
    pub fn read(der: &[u8]) -> Option<Validity> {
        let (certificate, _) = take(der, SEQUENCE)?;
        let (mut fields, _) = take(certificate, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            fields = take(fields, VERSION)?.1;
        }
        // The serial number, the signature's algorithm, the issuer.
        for _ in 0..3 {
            fields = skip(fields)?;
        }
        let (dates, _) = take(fields, SEQUENCE)?;
        let (from, rest) = date(dates)?;
        let (until, _) = date(rest)?;
        Some(Validity { until, from })
    }

    /// How it stands now.
    pub fn standing(&self, now: SystemTime) -> Standing {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if now < self.from {
            Standing::Early(self.from - now)
        } else if now > self.until {
            Standing::Expired(now - self.until)
        } else {
            Standing::Valid(self.until - now)
        }
    }

    /// Whether somebody has to look after it.
    pub fn needs_care(&self, now: SystemTime) -> bool {
        !matches!(self.standing(now), Standing::Valid(left) if left > SOON.as_secs())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Early(seconds) => write!(f, "is valid only in {}", Span(*seconds)),
            Standing::Valid(seconds) => write!(f, "expires in {}", Span(*seconds)),
            Standing::Expired(seconds) => write!(f, "expired {} ago", Span(*seconds)),
        }
    }
}

/// Seconds in the unit that says most.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..120 => write!(f, "{seconds} s"),
            seconds @ ..7_200 => write!(f, "{} minutes", seconds / 60),
            seconds @ ..172_800 => write!(f, "{} hours", seconds / 3_600),
            seconds => write!(f, "{} days", seconds / DAY),
        }
    }
}

/// The content of the first element, which must have this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

fn skip(der: &[u8]) -> Option<&[u8]> {
    Some(element(der)?.2)
}

/// Tag, content and rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Three bytes of length are 16 MiB: no certificate has more.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, in seconds since the Unix epoch, and what follows it.
fn date(der: &[u8]) -> Option<(u64, &[u8])> {
    let (tag, text, rest) = element(der)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = match tag {
        UTC_TIME => {
            let (year, text) = (digits(text, 2)?, text.get(2..)?);
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        GENERALIZED_TIME => (digits(text, 4)?, text.get(4..)?),
        _ => return None,
    };
    if text.len() != 10 {
        return None;
    }
    let part = |at: usize| digits(text.get(at..)?, 2);
    let (month, day) = (part(0)?, part(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        // What began earlier is as good as begun at the epoch.
        return (year < 1970).then_some((0, rest));
    }
    let of_day = part(4)? * 3_600 + part(6)? * 60 + part(8)?;
    Some((days_before(year, month, day) * DAY + of_day, rest))
}

fn digits(text: &str, count: usize) -> Option<u64> {
    let text = text.get(..count)?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to this one. Years are counted from March: the leap day is the last one.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<u64> {
        let tag = if text.len() == 13 { UTC_TIME } else { GENERALIZED_TIME };
        let mut der = vec![tag, u8::try_from(text.len()).expect("short")];
        der.extend_from_slice(text.as_bytes());
        date(&der).map(|(at, _)| at)
    }

    /// Checked with `date -u -d @SECONDS`.
    #[test]
    fn dates_are_seconds() {
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("000229000000Z"), Some(951_782_400));
        assert_eq!(utc("241231235959Z"), Some(1_735_689_599));
        assert_eq!(utc("21000301000000Z"), Some(4_107_542_400));
        assert_eq!(utc("19500101000000Z"), Some(0));
        for bad in
            ["2412312359Z", "241331000000Z", "24123100000xZ", "2412310000000", "é41231000000Z"]
        {
            assert_eq!(utc(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_dates_of_a_certificate_are_found() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["redis".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        let made = params.self_signed(&key).expect("a certificate");
        let der = made.der();
        let wanted = Validity { from: 1_709_164_800, until: 2_840_140_800 };
        assert_eq!(Validity::read(der), Some(wanted));
        for length in 0..der.len().min(200) {
            // Cut anywhere it is no certificate, and nothing panics.
            assert_eq!(Validity::read(&der[..length]), None);
        }
        for at in 0..200 {
            let mut spoiled = der.to_vec();
            spoiled[at] ^= 0xff;
            let _ = Validity::read(&spoiled);
        }
    }

    #[test]
    fn what_ends_soon_needs_care() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let validity = Validity { from: 10 * DAY, until: 100 * DAY };
        assert!(validity.needs_care(at(9 * DAY)));
        assert!(!validity.needs_care(at(85 * DAY)));
        assert!(validity.needs_care(at(87 * DAY)));
        assert_eq!(validity.standing(at(87 * DAY)).to_string(), "expires in 13 days");
        assert_eq!(validity.standing(at(101 * DAY)).to_string(), "expired 24 hours ago");
        assert_eq!(validity.standing(at(10 * DAY - 90)).to_string(), "is valid only in 90 s");
    }
}
