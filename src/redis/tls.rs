//! TLS towards Redis: whom to trust, what to show, and what a refusal means in words.
//!
//! Only what `--redis-ca` signed is trusted, never the system's list: a Redis of a hive has a private
//! CA. Sessions are not resumed: every connection looks at the certificates that are valid now.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InconsistentKeys, RootCertStore,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::certificate::Validity;

/// What is in the files of one TLS setting.
pub(super) struct Material<'a> {
    /// PEM of `--redis-ca`: one certificate or more.
    pub ca: &'a [u8],
    /// PEM of `--redis-cert`, the chain with the own certificate first, and of `--redis-key`.
    pub pair: Option<(&'a [u8], &'a [u8])>,
    /// `--redis-tls-server-name`
    pub server_name: Option<&'a str>,
}

type PrivateKey = Zeroizing<PrivateKeyDer<'static>>;

/// How a TLS connection is opened.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
    /// Of the CA that is valid longest.
    pub ca: Option<Validity>,
    /// Of the own certificate.
    pub own: Option<Validity>,
}

/// What is wrong with a file: its flag, and the reason without anything of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessError {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// What is wrong, as a part of a sentence.
    pub problem: String,
}

impl AccessError {
    pub(super) fn new(flag: &'static str, problem: impl Into<String>) -> AccessError {
        AccessError { flag, problem: problem.into() }
    }
}

/// Why TLS with a Redis did not come about: what was seen, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was seen, as a part of a sentence about that Redis.
    pub seen: String,
    /// How to mend it.
    pub mend: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.seen, self.mend)
    }
}

impl Tls {
    /// Makes sense of the files.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with each.
    pub fn new(material: &Material<'_>) -> Result<Tls, Vec<AccessError>> {
        let mut errors = Vec::new();
        let mut keep = |error: AccessError| errors.push(error);
        let roots = roots(material.ca).map_err(&mut keep).ok();
        let name = material.server_name.map(|name| server_name(name).map_err(&mut keep));
        let chain = material.pair.map(|(chain, _)| own_chain(chain).map_err(&mut keep));
        let key = material.pair.map(|(_, key)| private_key(key).map_err(&mut keep));
        let own = match (chain, key) {
            (Some(Ok(chain)), Some(Ok(key))) => Some((chain, key)),
            _ => None,
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let (roots, ca) = roots.unwrap_or_else(|| (RootCertStore::empty(), None));
        let validity = own.as_ref().and_then(|(chain, _)| Validity::read(chain.first()?));
        let config = config(roots, own).map_err(|error| vec![error])?;
        let name = name.and_then(Result::ok);
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name, ca, own: validity })
    }

    /// Shakes hands with the Redis at `host`; the dates of its certificate. Has no deadline.
    ///
    /// # Errors
    ///
    /// What the socket says, or a [`rustls::Error`] inside, which [`refusal`] puts into words.
    pub async fn wrap(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<Validity>)> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let stream = self.connector.connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let validity = shown.and_then(|chain| Validity::read(chain.first()?));
        Ok((stream, validity))
    }
}

/// What an error of a TLS connection means; `None` where it is none of TLS.
pub fn refusal(error: &io::Error) -> Option<Refusal> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let told = |seen: &str, mend| Some(Refusal { seen: seen.to_owned(), mend });
    match error {
        Error::InvalidCertificate(why) => Some(distrust(why)),
        Error::AlertReceived(AlertDescription::CertificateRequired) => told(
            "it demands a certificate of its clients",
            "give --redis-cert and --redis-key, signed by a CA in the tls-ca-cert-file of Redis",
        ),
        // With TLS 1.2 that is also what a missing certificate looks like.
        Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::HandshakeFailure
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied),
        ) => Some(Refusal {
            seen: format!("it refuses the certificate of this hive, or wants one ({alert:?})"),
            mend: "give --redis-cert and --redis-key that are valid and signed by a CA in the \
                   tls-ca-cert-file of Redis",
        }),
        Error::InvalidMessage(_) => told(
            "it does not speak TLS on this port",
            "start Redis with --tls-port for this port, or leave out --redis-tls",
        ),
        other => Some(Refusal {
            seen: format!("TLS fails: {other}"),
            mend: "look at the log of Redis, and at its tls-protocols and tls-ciphers",
        }),
    }
}

/// Why the certificate of a Redis is not trusted.
fn distrust(why: &CertificateError) -> Refusal {
    let (seen, mend) = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "its certificate has expired".to_owned(),
            "renew it, and let Redis read it: CONFIG SET tls-cert-file with the same name",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "its certificate is not valid yet".to_owned(),
            "set the clocks of both machines, or wait",
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "its certificate was signed by no CA of --redis-ca".to_owned(),
            "give the CA that signed the certificate of Redis with --redis-ca",
        ),
        CertificateError::NotValidForName => (
            "its certificate has another name".to_owned(),
            "give the name that all certificates have with --redis-tls-server-name",
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = presented.iter().take(4).map(|name| name.chars().take(100).collect());
            let presented: Vec<String> = presented.collect();
            let presented = presented.join(", ");
            (
                format!("its certificate is not for {}, but for {presented}", expected.to_str()),
                "give a name that the certificates of all servers have with --redis-tls-server-name",
            )
        }
        other => (
            format!("its certificate is not accepted: {other:?}").chars().take(200).collect(),
            "give Redis a certificate for servers, signed by a CA of --redis-ca",
        ),
    };
    Refusal { seen, mend }
}

fn roots(pem: &[u8]) -> Result<(RootCertStore, Option<Validity>), AccessError> {
    let bad = |problem: String| AccessError::new("--redis-ca", problem);
    let mut roots = RootCertStore::empty();
    let mut longest = None;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(format!("it is broken: {error}")))?;
        longest = longest.max(Validity::read(&certificate));
        roots.add(certificate).map_err(|error| bad(format!("it is no CA: {error}")))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it (PEM)".to_owned()));
    }
    Ok((roots, longest))
}

fn own_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let bad = |problem: String| AccessError::new("--redis-cert", problem);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| bad(format!("it is broken: {error}")))?;
    if chain.is_empty() {
        return Err(bad("there is no certificate in it (PEM)".to_owned()));
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKey, AccessError> {
    // What the parser says could quote the file.
    PrivateKeyDer::from_pem_slice(pem)
        .map(Zeroizing::new)
        .map_err(|_| AccessError::new("--redis-key", "there is no unencrypted private key in it"))
}

fn server_name(name: &str) -> Result<ServerName<'static>, AccessError> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        AccessError::new("--redis-tls-server-name", "it is no DNS name and no IP address")
    })
}

fn config(
    roots: RootCertStore,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKey)>,
) -> Result<ClientConfig, AccessError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let bad = |error: Error| match error {
        Error::InconsistentKeys(_) => {
            AccessError::new("--redis-key", "it does not belong to --redis-cert")
        }
        other => AccessError::new("--redis-cert", format!("it cannot be used: {other}")),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bad)?
        .with_root_certificates(roots);
    let mut config = match own {
        Some((chain, key)) => {
            let own = certified(chain, &key).map_err(bad)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The certificate with its key, which stays in one place: [`ClientConfig`] would leave a copy behind.
fn certified(chain: Vec<CertificateDer<'static>>, key: &PrivateKey) -> Result<CertifiedKey, Error> {
    let own = CertifiedKey::new(chain, any_supported_type(key)?);
    match own.keys_match() {
        // Of some keys it cannot be told.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(own),
        Err(error) => Err(error),
    }
}
