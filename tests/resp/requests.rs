//! Requests: what ends where, and what is refused.

use super::resp::{Request, Requests, args};

/// The ends of all requests in `input`, and how it ends; given in pieces of `piece` bytes.
fn ends(input: &[u8], piece: usize) -> (Vec<usize>, Request) {
    let (mut scanner, mut ends, mut passed) = (Requests::default(), Vec::new(), 0);
    for mut part in input.chunks(piece) {
        while !part.is_empty() {
            match scanner.next(part) {
                Request::Whole { end } => {
                    assert!((1..=part.len()).contains(&end), "{end} of {}", part.len());
                    assert!(scanner.between());
                    part = &part[end..];
                    passed += end;
                    ends.push(passed);
                }
                Request::Part { .. } => {
                    assert!(!scanner.between());
                    passed += part.len();
                    part = &[];
                }
                Request::Lost => return (ends, Request::Lost),
            }
        }
    }
    (ends, scanner.next(&[]))
}

fn words(request: &[u8]) -> Vec<Vec<u8>> {
    args(request).map(|word| word.into_owned()).collect()
}

#[test]
fn they_are_found_in_any_split() {
    let requests: &[&[u8]] = &[
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\n",
        b"\r\n",
        b"\n",
        b"  \t \r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*-9223372036854775808\r\n",
        b"set \"a\\\"\\x41\\n\" 'b\\' c'\n",
        b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$13\r\n\r\n*1\r\n$1\r\nx\r\n\r\n",
    ];
    let all = requests.concat();
    let mut wanted = Vec::new();
    for request in requests {
        wanted.push(wanted.last().unwrap_or(&0) + request.len());
    }
    for piece in 1..=all.len() {
        assert_eq!(ends(&all, piece), (wanted.clone(), Request::Part { body: 0 }), "{piece}");
    }
}

/// Redis answers these with an error and closes.
pub const REFUSED: &[&[u8]] = &[
    b"*01\r\n",
    b"*+1\r\n",
    b"*\r\n",
    b"*-\r\n",
    b"*-0\r\n",
    b"*1x\r\n",
    b"*2147483648\r\n",
    b"*9223372036854775808\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$01\r\n",
    b"*1\r\n:1\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n$9223372036854775808\r\n",
    b"get \"a\n",
    b"get \"a\\\n",
    b"get 'a b\n",
];

/// Some servers take these, but not all in the same way.
const STRANGE: &[&[u8]] = &[
    b"*1\rx$4\r\nPING\r\n",
    b"*1\r\n$4\r\nPINGxx",
    b"*1\r\n$4\r\nPING\r\r",
    b"get 'a\\'\n",
    b"get \"a\"b\n",
    b"get \"a\"\x0bb\n",
    b"get a\0\n",
];

#[test]
fn what_redis_refuses_is_lost() {
    for request in [REFUSED, STRANGE].concat() {
        for piece in 1..=request.len() {
            let text = request.escape_ascii();
            assert_eq!(ends(request, piece), (vec![], Request::Lost), "{text} by {piece}");
        }
    }
}

/// Redis's own limit for a line without an end.
#[test]
fn an_inline_request_has_an_end() {
    for (length, found) in [(65535, 1), (65536, 1), (65537, 0)] {
        let line = format!("{}\n", "x".repeat(length));
        for piece in [1, 1000, line.len()] {
            let (ends, end) = ends(line.as_bytes(), piece);
            assert_eq!((ends.len(), end == Request::Lost), (found, found == 0), "{length}");
        }
    }
}

/// However much is announced, nothing is set aside for it.
#[test]
fn announcements_are_followed_by_arithmetic() {
    assert_copy_of_at_most::<Requests>(24);
    let mut scanner = Requests::default();
    assert_eq!(scanner.next(b"*2147483647\r\n"), Request::Part { body: 0 });
    let body = (1 << 63) + 1;
    assert_eq!(scanner.next(b"$9223372036854775807\r\n"), Request::Part { body });
    assert!(!scanner.skip(body));
    assert_eq!(scanner.next(b"$1\r\nx\r\n"), Request::Part { body: 0 });

    let mut scanner = Requests::default();
    assert_eq!(scanner.next(b"*1\r\n$5\r\nab"), Request::Part { body: 5 });
    assert!(!scanner.skip(4) && !scanner.between());
    assert!(scanner.skip(1) && scanner.between());
}

fn assert_copy_of_at_most<T: Copy>(bytes: usize) {
    assert!(size_of::<T>() <= bytes, "{}", size_of::<T>());
}

#[test]
fn words_are_read() {
    assert_eq!(words(b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n"), [&b"GET"[..], b""]);
    for (line, wanted) in QUOTED {
        assert_eq!(words(line.as_bytes()), *wanted, "{line:?}");
        assert_eq!(ends(line.as_bytes(), 1).0, [line.len()], "{line:?}");
    }
    for empty in [b"\r\n".as_slice(), b"\n", b" \n", b"*0\r\n", b"*-1\r\n"] {
        assert_eq!(words(empty), Vec::<Vec<u8>>::new());
    }
}

/// Inline requests and their words.
pub const QUOTED: &[(&str, &[&[u8]])] = &[
    ("  get\tk \r\n", &[b"get", b"k"]),
    ("get a\x0bb \x0bc\r d\n", &[b"get", b"a\x0bb", b"c", b"d"]),
    ("get a\"b c\" 'd e'\n", &[b"get", b"ab c", b"d e"]),
    ("get \"\" ''\r\n", &[b"get", b"", b""]),
    ("get \"\\n\\r\\t\\b\\a\\q\\\\\\\"\"\n", &[b"get", b"\n\r\t\x08\x07q\\\""]),
    ("get \"\\x4a\\xG1\\x1G\\xFf\"\n", &[b"get", b"JxG1x1G\xff"]),
    ("get '\\'\\n' '\\\\''\n", &[b"get", b"'\\n", b"\\'"]),
];
