//! Patterns of `PSUBSCRIBE`.

/// Whether all of `text` fits a pattern with `*`, `?`, `[a-z]`, `[^a-z]` and `\`, as Redis reads it.
/// Takes at most as many steps as the product of both lengths.
pub(super) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // The last star: what follows it, and where its match ends now.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', after)) = rest.split_first() {
            (rest, star) = (after, Some((after, left)));
            continue;
        }
        let step = left.split_first().and_then(|(byte, tail)| Some((one(rest, *byte)?, tail)));
        match (step, star) {
            (Some(step), _) => (rest, left) = step,
            (None, _) if rest.is_empty() && left.is_empty() => return true,
            // The star takes one byte more.
            (None, Some((after, [_, tail @ ..]))) => {
                (rest, left, star) = (after, tail, Some((after, tail)));
            }
            (None, _) => return false,
        }
    }
}

/// The pattern behind its first element, if this byte fits that.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// The pattern behind `]`, if this byte is in the class. One that is not closed ends with the pattern.
fn class(mut pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let inverted = pattern.first() == Some(&b'^');
    pattern = &pattern[usize::from(inverted)..];
    let mut found = false;
    loop {
        pattern = match pattern {
            [] => break,
            [b']', rest @ ..] => {
                pattern = rest;
                break;
            }
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [first, b'-', last, rest @ ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    }
    (found != inverted).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_are_read_as_redis_reads_them() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("+switch-master", "+switch-master", true),
            ("switch-master", "+switch-master", false),
            ("[-+]sdown", "+sdown", true),
            ("[-+]sdown", "-sdown", true),
            ("[-+]sdown", "?sdown", false),
            ("+*down", "+sdown", true),
            ("*-*-*", "a-b-c", true),
            ("*-*-*", "a-bc", false),
            ("a*b*c", "abxbyc", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("[", "a", false),
            ("\\", "\\", true),
            ("**", "ab", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    /// With every star tried at every place this would not end.
    #[test]
    fn many_stars_cost_little() {
        let pattern = "*a".repeat(100) + "b";
        assert!(!fits(pattern.as_bytes(), "a".repeat(200).as_bytes()));
    }
}
