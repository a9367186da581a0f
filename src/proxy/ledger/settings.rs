//! What a session has set, as requests that set it again.

use std::fmt;

use zeroize::Zeroizing;

use super::super::commands::Setting;

/// The most bytes of values that a session may have, those not yet confirmed included.
pub(super) const BYTES_MAX: usize = 16 * 1024;

/// Values of some settings. Wiped from memory when dropped.
///
/// For each setting in order: its number, its count of words, and each word behind its length (two
/// bytes). No words: what a new connection has.
#[derive(Default)]
pub(super) struct Values(Zeroizing<Box<[u8]>>);

/// One setting of [`Values`].
#[derive(Clone, Copy)]
struct Entry<'a> {
    setting: Setting,
    count: u8,
    words: &'a [u8],
}

impl Values {
    /// `None` if they are more than [`BYTES_MAX`].
    pub(super) fn new<W: AsRef<[u8]>>(settings: &[(Setting, &[W])]) -> Option<Values> {
        let bytes = |words: &[W]| words.iter().map(|word| 2 + word.as_ref().len()).sum::<usize>();
        let length = settings.iter().map(|(_, words)| 2 + bytes(words)).sum();
        if length > BYTES_MAX || settings.iter().any(|(_, words)| words.len() > u8::MAX.into()) {
            return None;
        }
        // Never grows, so that no copy is left behind.
        let mut out = Vec::with_capacity(length);
        for (setting, words) in settings {
            out.extend([*setting as u8, words.len() as u8]);
            for word in words.iter().map(AsRef::as_ref) {
                out.extend((word.len() as u16).to_be_bytes());
                out.extend_from_slice(word);
            }
        }
        Some(Values(Zeroizing::new(out.into_boxed_slice())))
    }

    /// Bytes they take.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes over what `changes` has.
    pub(super) fn apply(&mut self, changes: &Values) {
        let new = |setting| changes.entry(setting).or_else(|| self.entry(setting));
        self.0 = collect(|setting| new(setting).filter(|entry| entry.count > 0));
    }

    /// Keeps only these.
    pub(super) fn retain(&mut self, kept: &[Setting]) {
        self.0 = collect(|setting| self.entry(setting).filter(|_| kept.contains(&setting)));
    }

    /// The requests that set them, and how many they are.
    pub(super) fn requests(&self) -> (Zeroizing<Vec<u8>>, u32) {
        self.requests_of(&Setting::ALL)
    }

    /// The same, for these of them.
    pub(super) fn requests_of(&self, settings: &[Setting]) -> (Zeroizing<Vec<u8>>, u32) {
        let entries = || settings.iter().filter_map(|setting| self.entry(*setting));
        let length = entries().map(|entry| request_max(&entry)).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        for entry in entries() {
            let words = || entry.setting.prefix().iter().copied().chain(entry.words());
            put_request(&mut out, words().count(), words());
        }
        (out, entries().count() as u32)
    }

    fn entry(&self, setting: Setting) -> Option<Entry<'_>> {
        let mut rest = &self.0[..];
        while let [number, count, words @ ..] = rest {
            let mut entry = Entry { setting, count: *count, words };
            let length = entry.words().map(|word| 2 + word.len()).sum();
            (entry.words, rest) = words.split_at_checked(length)?;
            if *number == setting as u8 {
                return Some(entry);
            }
        }
        None
    }
}

impl fmt::Debug for Values {
    /// Tells no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

impl<'a> Entry<'a> {
    fn words(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.words;
        (0..self.count).map_while(move |_| {
            let (length, behind) = rest.split_first_chunk()?;
            let (word, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = behind;
            Some(word)
        })
    }
}

fn collect<'a>(entry: impl Fn(Setting) -> Option<Entry<'a>>) -> Zeroizing<Box<[u8]>> {
    let entries = || Setting::ALL.into_iter().filter_map(&entry);
    let mut out = Vec::with_capacity(entries().map(|entry| 2 + entry.words.len()).sum());
    for entry in entries() {
        out.extend([entry.setting as u8, entry.count]);
        out.extend_from_slice(entry.words);
    }
    Zeroizing::new(out.into_boxed_slice())
}

/// At least the bytes of an entry's request.
fn request_max(entry: &Entry<'_>) -> usize {
    let words = entry.setting.prefix().iter().copied().chain(entry.words());
    8 + words.map(|word| 10 + word.len()).sum::<usize>()
}

/// Appends a request of `count` words.
pub(super) fn put_request<'a>(
    out: &mut Vec<u8>,
    count: usize,
    words: impl Iterator<Item = &'a [u8]>,
) {
    put_length(out, b'*', count);
    for word in words {
        put_length(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_length(out: &mut Vec<u8>, kind: u8, length: usize) {
    out.push(kind);
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}
