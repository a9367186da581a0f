//! A private CA and what it signs.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

/// The name in all certificates of servers.
pub const NAME: &str = "redis.hive.test";
const DAY: Duration = Duration::from_secs(86_400);

/// A CA.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, PEM.
    pub pem: String,
}

/// A certificate and its key, PEM.
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for [`NAME`] and these addresses that is valid for ten days more than what
    /// is worth a warning, for servers and clients.
    pub fn identity(&self, addresses: &[IpAddr]) -> Identity {
        self.lasting(addresses, 24)
    }

    /// The same, valid for so many days from now; negative: it has ended.
    pub fn lasting(&self, addresses: &[IpAddr], days: i64) -> Identity {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
        params.subject_alt_names.extend(addresses.iter().map(|ip| SanType::IpAddress(*ip)));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let now = SystemTime::now();
        params.not_before = (now - DAY * 100).into();
        // An hour more, so that it is not a day less by the time somebody looks.
        let span = Duration::from_secs(3_600)
            + DAY * u32::try_from(days.unsigned_abs()).expect("few days");
        params.not_after = if days < 0 { now - span } else { now + span }.into();
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { cert, key: key.serialize_pem() }
    }
}

/// The files of one side, by the names that [`write`] gives them.
#[derive(Clone, Debug)]
pub struct Files {
    /// The CA's certificate.
    pub ca: PathBuf,
    /// The own certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Files {
    /// The names in a folder.
    pub fn inside(dir: &Path) -> Files {
        Files { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") }
    }

    /// The flags of a server that speaks nothing but TLS, on this port.
    pub fn redis_flags(&self, port: u16) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let pairs = [
            ("--port", "0".to_owned()),
            ("--tls-port", port.to_string()),
            ("--tls-ca-cert-file", path(&self.ca)),
            ("--tls-cert-file", path(&self.cert)),
            ("--tls-key-file", path(&self.key)),
        ];
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// The flags of a hive beside it.
    pub fn hive_flags(&self) -> Vec<String> {
        let flag = |name: &str, path: &Path| format!("{name}={}", path.display());
        vec![
            "--redis-tls".to_owned(),
            flag("--redis-ca", &self.ca),
            flag("--redis-cert", &self.cert),
            flag("--redis-key", &self.key),
            format!("--redis-tls-server-name={NAME}"),
        ]
    }
}

/// What [`Files::inside`] names, with its content.
pub fn contents<'a>(ca: &'a str, identity: &'a Identity) -> [(&'static str, &'a str); 3] {
    [("ca.pem", ca), ("cert.pem", &identity.cert), ("key.pem", &identity.key)]
}
