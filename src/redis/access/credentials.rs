//! One reading of the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::redis::tls::{AccessError, Material, Tls};
use crate::secrets::reading::read_bytes;

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
    raw: Vec<Zeroizing<Vec<u8>>>,
}

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
        let mut errors = Vec::new();
        let mut raw = Vec::new();
        let passwords = match &settings.password {
            Password::None => Vec::new(),
            Password::Given(password) => vec![password.clone()],
            Password::File(path) => match read_passwords(path) {
                Ok((bytes, passwords)) => {
                    raw.push(bytes);
                    passwords
                }
                Err(problem) => {
                    errors.push(AccessError::new("--redis-password-file", problem));
                    Vec::new()
                }
            },
        };
        let tls = settings
            .tls
            .as_ref()
            .and_then(|files| read_tls(files, &mut raw).map_err(|more| errors.extend(more)).ok());
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Credentials { generation: 0, username: settings.username.clone(), passwords, tls, raw })
    }

    /// As if this text had been in a file.
    #[cfg(test)]
    pub fn raw_for_test(&mut self, text: &str) {
        self.raw = vec![Zeroizing::new(text.as_bytes().to_vec())];
    }

    /// Whether the files held the same.
    pub fn same_as(&self, other: &Credentials) -> bool {
        self.raw == other.raw
    }
}

/// The password that is used, of those in this file.
///
/// # Errors
///
/// A part of a sentence without anything of the content.
pub fn first_password(path: &Path) -> Result<SecretString, String> {
    let (_, passwords) = read_passwords(path)?;
    passwords.into_iter().next().ok_or_else(|| "it is empty".to_owned())
}

type Bytes = Zeroizing<Vec<u8>>;

fn read_passwords(path: &Path) -> Result<(Bytes, Vec<SecretString>), String> {
    let shown = path.display();
    let bytes = read_bytes(path, PASSWORD_MAX_BYTES).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is no text (UTF-8)"))?;
    if text.lines().next().is_none_or(str::is_empty) {
        return Err(format!("the first line of {shown} is empty"));
    }
    let lines = text.lines().filter(|line| !line.is_empty());
    let passwords: Vec<SecretString> = lines.map(SecretString::from).collect();
    if passwords.len() > PASSWORDS_MAX {
        return Err(format!("{shown} holds more than {PASSWORDS_MAX} passwords"));
    }
    Ok((bytes, passwords))
}

fn read_tls(files: &TlsFiles, raw: &mut Vec<Bytes>) -> Result<Tls, Vec<AccessError>> {
    let read = |flag, path: &Path| {
        read_bytes(path, PEM_MAX_BYTES).map_err(|why| vec![AccessError::new(flag, why.to_string())])
    };
    let ca = read("--redis-ca", &files.ca)?;
    let pair = match &files.pair {
        Some((chain, key)) => Some((read("--redis-cert", chain)?, read("--redis-key", key)?)),
        None => None,
    };
    let tls = Tls::new(&Material {
        ca: &ca,
        pair: pair.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice())),
        server_name: files.server_name.as_deref(),
    })?;
    raw.push(ca);
    raw.extend(pair.into_iter().flat_map(|(chain, key)| [chain, key]));
    Ok(tls)
}
