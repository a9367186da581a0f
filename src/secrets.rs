//! The hive's shared secret: where it comes from, who may use it, and how it is changed.
//!
//! A secret is a line of `--secret-file` or of `HIVE_SECRET`. The first one is used, all are
//! accepted, so a new secret is brought in without a break: add it as the last line everywhere,
//! then move it to the top everywhere, then take the old one out.
//!
//! Blanks around a line are cut off; empty lines and lines that begin with `#` are no secrets. A
//! secret is 16 to 1,024 visible ASCII characters, so that it fits an HTTP header. At most eight.
//! Its strength is its randomness: who listens on the network can try guesses without being seen,
//! so it is made by a machine (`openssl rand -base64 32`), not thought up.

mod keyring;
pub mod reading;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake2::{Blake2s256, Digest};
use secrecy::SecretString;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use keyring::Keyring;

/// The shortest secret, in bytes.
pub const MIN_BYTES: usize = 16;
/// The longest secret, in bytes.
pub const MAX_BYTES: usize = 1024;
/// The most secrets at a time.
pub const MAX_SECRETS: usize = 8;
/// A file larger than this holds no secrets.
pub const MAX_FILE_BYTES: usize = 16 * 1024;

/// What is hashed in front of a secret: a key for one purpose says nothing about another's.
const PEER_KEY: &[u8] = b"redis-hive peer key 1\0";
const BEARER: &[u8] = b"redis-hive bearer 1\0";

/// Why text or a file holds no usable secrets. Never holds a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is a directory, a device or a pipe.
    #[error("{} is no regular file", .0.display())]
    NoFile(PathBuf),
    /// The value of this environment variable is no UTF-8.
    #[error("{0} is no text (UTF-8)")]
    NoText(&'static str),
    /// It is longer than this.
    #[error("longer than {0} bytes")]
    FileTooLong(usize),
    /// There are only empty lines and comments.
    #[error("there is no secret in it")]
    Empty,
    /// There are more than [`MAX_SECRETS`].
    #[error("more than {MAX_SECRETS} secrets")]
    TooMany,
    /// A secret has fewer than [`MIN_BYTES`] bytes.
    #[error("the secret in line {0} is shorter than {MIN_BYTES} characters")]
    TooShort(usize),
    /// A secret has more than [`MAX_BYTES`] bytes.
    #[error("the secret in line {0} is longer than {MAX_BYTES} characters")]
    TooLong(usize),
    /// A secret has a blank, a control character, or something that is not ASCII.
    #[error("the secret in line {0} has a character that is not visible ASCII")]
    BadCharacter(usize),
}

/// The secret text of an environment variable; `None` where it is not set, or set to nothing (an unset
/// template value).
///
/// # Errors
/// [`SecretsError::NoText`]: what cannot be read must not count as not given.
pub fn variable(name: &'static str) -> Option<Result<SecretString, SecretsError>> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(value.into_string().map(SecretString::from).map_err(|_| SecretsError::NoText(name)))
}

/// One secret. Wiped when its last clone is dropped, and never printed.
#[derive(Clone)]
pub struct Secret(Arc<Keys>);

struct Keys {
    text: SecretString,
    peer_key: Zeroizing<[u8; 32]>,
    bearer: Zeroizing<[u8; 32]>,
}

impl Secret {
    fn new(text: &str) -> Secret {
        Secret(Arc::new(Keys {
            text: SecretString::from(text),
            peer_key: derive(PEER_KEY, text),
            bearer: derive(BEARER, text),
        }))
    }

    /// The secret itself, for a client that must send it.
    pub fn text(&self) -> &SecretString {
        &self.0.text
    }

    /// The key that two hives prove to each other.
    pub fn peer_key(&self) -> &[u8; 32] {
        &self.0.peer_key
    }

    fn is(&self, bearer: &[u8; 32]) -> subtle::Choice {
        self.0.bearer.ct_eq(bearer)
    }
}

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.is(&other.0.bearer).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([REDACTED])")
    }
}

/// The secrets that are accepted; the first is used. None at all: nothing is locked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Reads the lines of a text.
    ///
    /// # Errors
    /// [`SecretsError`]; a text without a secret is one too.
    pub fn parse(text: &str) -> Result<Secrets, SecretsError> {
        let mut secrets: Vec<Secret> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            judge(number, line)?;
            let secret = Secret::new(line);
            if secrets.contains(&secret) {
                continue;
            }
            if secrets.len() == MAX_SECRETS {
                return Err(SecretsError::TooMany);
            }
            secrets.push(secret);
        }
        if secrets.is_empty() { Err(SecretsError::Empty) } else { Ok(Secrets(secrets)) }
    }

    /// Reads a file. Symbolic links are followed: Kubernetes mounts a Secret through two.
    ///
    /// # Errors
    /// [`SecretsError`]
    pub fn read(path: &Path) -> Result<Secrets, SecretsError> {
        Secrets::parse(&read_text(path)?)
    }

    /// Whether there is no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret that is used.
    pub fn first(&self) -> Option<&Secret> {
        self.0.first()
    }

    /// All that are accepted, the one that is used first.
    pub fn all(&self) -> &[Secret] {
        &self.0
    }

    /// Whether this is one of the secrets; never where there is none. How long it takes depends on
    /// the length of `bearer` and the number of secrets only, not on what they are.
    pub fn accepts(&self, bearer: &str) -> bool {
        if bearer.len() > MAX_BYTES {
            return false;
        }
        let given = derive(BEARER, bearer);
        let found = self.0.iter().map(|secret| secret.is(&given));
        found.fold(subtle::Choice::from(0), |any, this| any | this).into()
    }
}

/// The secrets of a start, and the file they are read from again while the hive runs.
#[derive(Clone, Debug, Default)]
pub struct SecretSource {
    /// What was read.
    pub secrets: Arc<Secrets>,
    /// `--secret-file`; `None`: they do not change.
    pub file: Option<PathBuf>,
}

fn judge(number: usize, line: &str) -> Result<(), SecretsError> {
    if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SecretsError::BadCharacter(number));
    }
    match line.len() {
        ..MIN_BYTES => Err(SecretsError::TooShort(number)),
        MIN_BYTES..=MAX_BYTES => Ok(()),
        _ => Err(SecretsError::TooLong(number)),
    }
}

fn derive(purpose: &[u8], text: &str) -> Zeroizing<[u8; 32]> {
    let mut hash = Blake2s256::new();
    hash.update(purpose);
    hash.update(text.as_bytes());
    Zeroizing::new(hash.finalize().into())
}

/// The text of a small regular file.
fn read_text(path: &Path) -> Result<Zeroizing<String>, SecretsError> {
    let bytes = reading::read_bytes(path, MAX_FILE_BYTES)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        SecretsError::BadCharacter(1 + before.filter(|byte| **byte == b'\n').count())
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const ONE: &str = "first-secret-of-this-test";
    const TWO: &str = "second-secret-of-this-test";

    fn texts(secrets: &Secrets) -> Vec<&str> {
        secrets.all().iter().map(|secret| secret.text().expose_secret()).collect()
    }

    #[test]
    fn one_secret_a_line_without_blanks_and_comments() {
        let text = format!("# made in May\r\n\r\n  {ONE}\t\r\n{TWO}\n{ONE}\n#{TWO}x\n");
        let secrets = Secrets::parse(&text).expect("secrets");
        assert_eq!(texts(&secrets), [ONE, TWO]);
        assert_eq!(secrets.first().map(|secret| secret.text().expose_secret()), Some(ONE));
        assert_eq!(texts(&Secrets::parse(ONE).expect("no line end")), [ONE]);
    }

    #[test]
    fn what_is_no_secret_is_told_by_its_line_and_never_shown() {
        let x = |count: usize| "x".repeat(count);
        let many: Vec<String> = (0..=MAX_SECRETS).map(|n| format!("{ONE}{n}")).collect();
        let cases = [
            (String::new(), SecretsError::Empty),
            ("\n# nothing\n \n".into(), SecretsError::Empty),
            (format!("{ONE}\n{}", x(MIN_BYTES - 1)), SecretsError::TooShort(2)),
            (x(MAX_BYTES + 1), SecretsError::TooLong(1)),
            ("a secret of several words".into(), SecretsError::BadCharacter(1)),
            (format!("\u{feff}{ONE}"), SecretsError::BadCharacter(1)),
            (format!("{ONE}\n\n{TWO}\0"), SecretsError::BadCharacter(3)),
            (many.join("\n"), SecretsError::TooMany),
        ];
        for (text, wanted) in cases {
            let error = Secrets::parse(&text).expect_err("no secrets");
            assert_eq!(error, wanted);
            assert!(!error.to_string().contains("secret-of-this-test"), "{error}");
        }
        for fits in [MIN_BYTES, MAX_BYTES] {
            assert!(Secrets::parse(&x(fits)).is_ok());
        }
    }

    #[test]
    fn every_secret_of_the_file_is_accepted_and_nothing_else() {
        let secrets = Secrets::parse(&format!("{ONE}\n{TWO}")).expect("secrets");
        assert!(secrets.accepts(ONE) && secrets.accepts(TWO));
        for wrong in ["", "first", &ONE[1..], &format!("{ONE} "), &format!("{ONE}\n{TWO}")] {
            assert!(!secrets.accepts(wrong), "{wrong}");
        }
        assert!(!secrets.accepts(&"x".repeat(1 << 20)));
        assert!(!Secrets::default().accepts(""), "no secret accepts nothing");
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let secrets = Secrets::parse(&format!("{ONE}\n{TWO}")).expect("secrets");
        let shown = format!("{secrets:?} {:#?}", secrets.first());
        assert!(!shown.contains("secret-of"), "{shown}");
        let key = format!("{:?}", secrets.first().expect("one").peer_key());
        assert!(!shown.contains(&key[1..20]), "{shown}");
    }

    #[test]
    fn the_keys_of_two_purposes_differ() {
        let secret = Secret::new(ONE);
        assert_ne!(*secret.0.peer_key, *secret.0.bearer);
        assert_ne!(secret.peer_key(), Secret::new(TWO).peer_key());
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let dir = std::env::temp_dir();
        assert_eq!(Secrets::read(&dir), Err(SecretsError::NoFile(dir.clone())));
        let missing = dir.join("redis-hive-no-such-secret");
        assert!(matches!(Secrets::read(&missing), Err(SecretsError::Unreadable { .. })));
        let file = dir.join(format!("redis-hive-secret-{}", std::process::id()));
        for (bytes, wanted) in [
            (vec![b'#'; MAX_FILE_BYTES + 1], SecretsError::FileTooLong(MAX_FILE_BYTES)),
            (vec![b'#'; MAX_FILE_BYTES], SecretsError::Empty),
            (b"#\n\xff\xff".to_vec(), SecretsError::BadCharacter(2)),
        ] {
            std::fs::write(&file, bytes).expect("a file");
            assert_eq!(Secrets::read(&file), Err(wanted));
        }
        std::fs::remove_file(&file).expect("the file");
    }
}
