//! Replies: what ends where, what it is, and what is refused.

use super::resp::{Frame, Replies, Reply};

/// All frames in `input` with their ends and leads, and how it ends; in pieces of `piece` bytes.
fn frames(input: &[u8], piece: usize) -> (Vec<(usize, Frame, Vec<u8>)>, Reply) {
    let (mut scanner, mut found, mut passed) = (Replies::default(), Vec::new(), 0);
    for mut part in input.chunks(piece) {
        while !part.is_empty() {
            match scanner.next(part) {
                Reply::Whole { end, frame } => {
                    assert!((1..=part.len()).contains(&end), "{end} of {}", part.len());
                    assert!(scanner.between());
                    passed += end;
                    found.push((passed, frame, scanner.lead(&part[..end]).to_vec()));
                    part = &part[end..];
                }
                Reply::Part { .. } => {
                    assert!(!scanner.between());
                    passed += part.len();
                    part = &[];
                }
                Reply::Lost => return (found, Reply::Lost),
            }
        }
    }
    (found, scanner.next(&[]))
}

#[test]
fn every_type_is_found_in_any_split() {
    let replies: &[(&[u8], &[u8], Option<i64>)] = &[
        (b"", b"+OK\r\n", None),
        (b"", b"+\r\n", None),
        (b"", b"-ERR a \r b \n c\r\r\n", None),
        (b"", b":-9223372036854775808\r\n", Some(i64::MIN)),
        (b"", b":0\r\n", Some(0)),
        (b"", b"$-1\r\n", None),
        (b"", b"$0\r\n\r\n", None),
        (b"", b"$4\r\n\r\n\r\n\r\n", None),
        (b"", b"*-1\r\n", None),
        (b"", b"*0\r\n", None),
        (b"", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", Some(1)),
        (b"", b"*2\r\n:1\r\n*0\r\n", None),
        (b"", b"*2\r\n*1\r\n*2\r\n+a\r\n_\r\n~1\r\n:7\r\n", Some(7)),
        (b"", b"%2\r\n+a\r\n%0\r\n+b\r\n#t\r\n", None),
        (b"", b"_\r\n", None),
        (b"", b",-inf\r\n", None),
        (b"", b"#f\r\n", None),
        (b"", b"(3492890328409238509324850943850943825024385\r\n", None),
        (b"", b"!5\r\nERR x\r\n", None),
        (b"", b"=7\r\ntxt:abc\r\n", None),
        (b"", b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", None),
        (
            b"|1\r\n+ttl\r\n|1\r\n+a\r\n+b\r\n:3600\r\n",
            b"*2\r\n|0\r\n:1\r\n|1\r\n+x\r\n:1\r\n:2\r\n",
            Some(2),
        ),
        (b"|1\r\n+a\r\n+b\r\n|1\r\n+c\r\n+d\r\n", b"+OK\r\n", None),
    ];
    let (mut all, mut wanted) = (Vec::new(), Vec::new());
    for (attribute, frame, last) in replies {
        all.extend_from_slice(attribute);
        all.extend_from_slice(frame);
        let lead = frame[..frame.len().min(48)].to_vec();
        wanted.push((all.len(), Frame { kind: frame[0], last: *last }, lead));
    }
    for piece in 1..=all.len() {
        let (found, end) = frames(&all, piece);
        assert_eq!(found, wanted, "{piece}");
        assert_eq!(end, Reply::Part { body: 0 });
    }
}

#[test]
fn what_is_no_reply_is_lost() {
    let refused: &[&[u8]] = &[
        b"x",
        b"\r\n",
        b"$?\r\n",
        b"*?\r\n",
        b";4\r\n",
        b".\r\n",
        b"$-2\r\n",
        b"*-2\r\n",
        b"%-1\r\n",
        b"!-1\r\n",
        b":\r\n",
        b":1x",
        b":01",
        b"_x\r\n",
        b"#\r\n",
        b"$1\r\nab",
        b"$1\r\na\rb",
        b"*1\r\n>0\r\n",
        b">1\r\n>0\r\n",
        b"|1\r\n>0\r\n",
        b"%9223372036854775807\r\n%9223372036854775807\r\n",
    ];
    for reply in refused {
        for piece in 1..=reply.len() {
            let text = reply.escape_ascii();
            assert_eq!(frames(reply, piece), (vec![], Reply::Lost), "{text} by {piece}");
        }
    }
}

/// A line is passed on as it comes, but nothing that goes on for ever is taken for a reply.
#[test]
fn a_line_has_an_end() {
    for length in [65535, 65536, 65537] {
        for kind in ["+", "-", "(", ",", "*2\r\n+"] {
            let line = format!("{kind}{}\r\n", "x".repeat(length));
            for piece in [1, 1000, line.len()] {
                let (found, end) = frames(line.as_bytes(), piece);
                let goes_on = kind.len() == 1 && length <= 65536;
                assert_eq!(found.len(), usize::from(goes_on), "{kind} of {length} by {piece}");
                assert_eq!(end == Reply::Lost, length > 65536, "{kind} of {length} by {piece}");
            }
        }
    }
}

/// However much is announced, nothing is set aside for it.
#[test]
fn announcements_are_followed_by_arithmetic() {
    let bytes = size_of::<Replies>();
    assert!(bytes <= 40, "{bytes}");
    let mut scanner = Replies::default();
    assert_eq!(scanner.next(b"$9223372036854775807\r\n"), Reply::Part { body: (1 << 63) + 1 });
    assert_eq!(scanner.skip(1 << 63), None);
    let frame = Frame { kind: b'$', last: None };
    assert_eq!(scanner.next(b"\n+"), Reply::Whole { end: 1, frame });

    let nested = b"*9223372036854775807\r\n".repeat(2);
    assert_eq!(frames(&nested, 7), (vec![], Reply::Part { body: 0 }));
    let nested = b"*9223372036854775807\r\n".repeat(3);
    assert_eq!(frames(&nested, 7), (vec![], Reply::Lost));
}

#[test]
fn what_went_by_unseen_is_not_in_the_lead() {
    let mut scanner = Replies::default();
    assert_eq!(scanner.next(b"*2\r\n$1000\r\nab"), Reply::Part { body: 1000 });
    assert_eq!(scanner.skip(998), None);
    assert_eq!(scanner.next(b"\r\n:5"), Reply::Part { body: 0 });
    let frame = Frame { kind: b'*', last: Some(5) };
    assert_eq!(scanner.next(b"\r\n"), Reply::Whole { end: 2, frame });
    assert_eq!(scanner.lead(b"\r\n"), b"*2\r\n$1000\r\nab");

    assert_eq!(scanner.next(b"$1000\r\n"), Reply::Part { body: 1002 });
    assert_eq!(scanner.skip(1002), Some(Frame { kind: b'$', last: None }));
    assert_eq!(scanner.lead(b""), b"$1000\r\n");
    assert!(scanner.between());
}
