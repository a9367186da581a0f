//! One reading of the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::redis::tls::{AccessError, Material, Tls};
use crate::secrets::SecretsError;
use crate::secrets::reading::read_bytes;

const PASSWORD_FILE: &str = "--redis-password-file";
/// A password file larger than this is no password file.
const PASSWORD_MAX_BYTES: usize = 4096;
/// The most passwords in it.
const PASSWORDS_MAX: usize = 4;
/// A larger file holds no certificates of anybody's private CA.
const PEM_MAX_BYTES: usize = 256 << 10;

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// `--redis-username`; also set as `masteruser`.
    pub username: Option<String>,
    /// The password, towards every Redis of the hive; also set as `masterauth`.
    pub password: Password,
    /// `--redis-tls`
    pub tls: Option<TlsFiles>,
}

/// Where the password comes from.
#[derive(Clone, Debug, Default)]
pub enum Password {
    /// There is none.
    #[default]
    None,
    /// `HIVE_REDIS_PASSWORD`: it never changes.
    Given(SecretString),
    /// `--redis-password-file`: one a line. The first is used; the others where it is refused.
    File(PathBuf),
}

/// The files of TLS, all PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// `--redis-ca`
    pub ca: PathBuf,
    /// `--redis-cert` and `--redis-key`
    pub pair: Option<(PathBuf, PathBuf)>,
    /// `--redis-tls-server-name`; `None`: the address that is dialled must be in the certificate.
    pub server_name: Option<String>,
}

impl AccessSettings {
    pub(super) fn has_files(&self) -> bool {
        self.tls.is_some() || matches!(self.password, Password::File(_))
    }
}

/// What was read at one time.
pub struct Credentials {
    /// Which reading it was.
    pub generation: u64,
    pub username: Option<String>,
    /// The first is used, the others where it is refused.
    pub passwords: Vec<SecretString>,
    pub tls: Option<Tls>,
    /// What the files held, to see a change.
    raw: Raw,
}

/// The content of the files.
#[derive(PartialEq)]
struct Raw {
    passwords: Option<Bytes>,
    tls: Option<RawTls>,
}

/// That of the files of TLS.
#[derive(PartialEq)]
struct RawTls {
    ca: Bytes,
    pair: Option<(Bytes, Bytes)>,
}

type Bytes = Zeroizing<Vec<u8>>;

/// What a connection was opened and logged in with.
#[derive(Clone)]
pub struct Used {
    /// What was shown.
    pub with: Arc<Credentials>,
    /// Which of the passwords was taken, counted from 0; `None`: none was needed yet.
    pub line: Option<usize>,
}

impl Used {
    /// The password that was taken.
    pub fn password(&self) -> Option<&SecretString> {
        self.with.passwords.get(self.line?)
    }

    /// Whether the first password was refused and another one had to serve.
    pub fn is_older(&self) -> bool {
        self.line > Some(0)
    }
}

impl Credentials {
    /// Reads all files.
    pub fn read(settings: &AccessSettings) -> Result<Credentials, Vec<AccessError>> {
        let (raw, errors) = Raw::read(settings);
        Credentials::parse(settings, raw, errors)
    }

    /// Reads all files again; `None` where they hold what is known.
    pub fn read_again(
        settings: &AccessSettings,
        known: &Credentials,
    ) -> Result<Option<Credentials>, Vec<AccessError>> {
        let (raw, errors) = Raw::read(settings);
        if errors.is_empty() && raw == known.raw {
            return Ok(None);
        }
        Credentials::parse(settings, raw, errors).map(Some)
    }

    /// Makes sense of what was read, where `errors` tells what was not.
    fn parse(
        settings: &AccessSettings,
        raw: Raw,
        mut errors: Vec<AccessError>,
    ) -> Result<Credentials, Vec<AccessError>> {
        let mut passwords = Vec::new();
        match (&settings.password, &raw.passwords) {
            (Password::Given(password), _) => passwords.push(password.clone()),
            (Password::File(path), Some(bytes)) => match parse_passwords(path, bytes) {
                Ok(found) => passwords = found,
                Err(problem) => errors.push(AccessError::new(PASSWORD_FILE, problem)),
            },
            (Password::File(_), None) | (Password::None, _) => {}
        }
        let tls = settings.tls.as_ref().zip(raw.tls.as_ref()).map(|(files, tls)| {
            Tls::new(&Material {
                ca: &tls.ca,
                pair: tls.pair.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice())),
                server_name: files.server_name.as_deref(),
            })
        });
        let tls = tls.transpose().unwrap_or_else(|more| {
            errors.extend(more);
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Credentials { generation: 0, username: settings.username.clone(), passwords, tls, raw })
    }
}

impl Raw {
    /// Reads all files; what cannot be read is not there, and why.
    fn read(settings: &AccessSettings) -> (Raw, Vec<AccessError>) {
        let mut errors = Vec::new();
        let mut read = |flag, path: &Path, max| {
            let told = |why: SecretsError| errors.push(AccessError::new(flag, why.to_string()));
            read_bytes(path, max).map_err(told).ok()
        };
        let passwords = match &settings.password {
            Password::File(path) => read(PASSWORD_FILE, path, PASSWORD_MAX_BYTES),
            Password::None | Password::Given(_) => None,
        };
        let tls = settings.tls.as_ref().and_then(|files| {
            let ca = read("--redis-ca", &files.ca, PEM_MAX_BYTES);
            let pair = files.pair.as_ref().map(|(chain, key)| {
                let chain = read("--redis-cert", chain, PEM_MAX_BYTES);
                chain.zip(read("--redis-key", key, PEM_MAX_BYTES))
            });
            match pair {
                None => Some(RawTls { ca: ca?, pair: None }),
                Some(pair) => Some(RawTls { ca: ca?, pair: Some(pair?) }),
            }
        });
        (Raw { passwords, tls }, errors)
    }
}

/// The password that is used, of those in this file.
///
/// # Errors
///
/// A part of a sentence without anything of the content.
pub fn first_password(path: &Path) -> Result<SecretString, String> {
    let bytes = read_bytes(path, PASSWORD_MAX_BYTES).map_err(|error| error.to_string())?;
    let passwords = parse_passwords(path, &bytes)?;
    passwords.into_iter().next().ok_or_else(|| "it is empty".to_owned())
}

fn parse_passwords(path: &Path, bytes: &[u8]) -> Result<Vec<SecretString>, String> {
    let shown = path.display();
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{shown} is no text (UTF-8)"))?;
    if text.lines().next().is_none_or(str::is_empty) {
        return Err(format!("the first line of {shown} is empty"));
    }
    let lines = text.lines().filter(|line| !line.is_empty());
    let passwords: Vec<SecretString> = lines.map(SecretString::from).collect();
    if passwords.len() > PASSWORDS_MAX {
        return Err(format!("{shown} holds more than {PASSWORDS_MAX} passwords"));
    }
    Ok(passwords)
}
