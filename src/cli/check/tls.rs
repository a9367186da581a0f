//! The part of `check` that looks at TLS with Redis.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ::redis::RedisError;

use crate::config::Config;
use crate::redis::{Access, Refusal, refusal};

use super::finding::Finding;

/// Whether replicas dial their master over TLS.
pub(super) const REPLICATION: &str = "tls-replication";

/// A file that was there when the flags were read.
pub(super) fn unreadable(error: &anyhow::Error) -> Finding {
    Finding::bad(
        "tls.unreadable",
        error.to_string(),
        "the hive could not log in to Redis",
        "mount the files there and let this user read them",
    )
}

/// Why TLS did not come about, if that is what the error is about.
pub(super) fn refused(addr: SocketAddr, error: &RedisError) -> Option<Finding> {
    let Refusal { seen, mend } = refusal_in(error)?;
    Some(Finding::bad(
        "tls.refused",
        format!("{addr}: {seen}"),
        "the hive opens no connection whose other end it cannot be sure of",
        mend,
    ))
}

/// How long the certificates last that both sides show.
pub(super) fn certificates(access: &Access, config: &Config) -> Vec<Finding> {
    let now = SystemTime::now();
    let Some(standing) = access.local_certificate(now) else { return Vec::new() };
    let mut findings: Vec<Finding> = access
        .problems(now)
        .into_iter()
        .map(|problem| {
            Finding::odd(
                "tls.certificate",
                problem,
                "after that no new connection is opened: replication and fail-over stop",
                "replace the file: both the hive and its Redis read it again without a restart",
            )
        })
        .collect();
    if findings.is_empty() {
        let seen = format!("the certificate of {} is trusted and {standing}", config.redis);
        findings.push(Finding::good("tls", seen));
    }
    findings
}

/// Whether replication goes over TLS exactly where the hive does.
pub(super) fn replication(config: &Config, settings: &BTreeMap<String, String>) -> Option<Finding> {
    let on = settings.get(REPLICATION).is_some_and(|value| value == "yes");
    match (config.redis_tls.is_some(), on) {
        (true, false) => Some(Finding::odd(
            "tls.replication",
            format!("{REPLICATION} is not on"),
            "replicas would dial their master's TLS port in plain text",
            format!("start Redis with --{REPLICATION} yes (the hive sets it on a running one)"),
        )),
        (false, true) => Some(Finding::bad(
            "tls.replication",
            format!("{REPLICATION} is on, and --redis-tls is not given"),
            "replicas dial their master over TLS, on a port that the hive takes for a plain one",
            "give --redis-tls and --redis-ca, and with --redis the tls-port",
        )),
        _ => None,
    }
}

/// The crate keeps an error of the socket in a shared box, which is what it names as its source.
fn refusal_in(error: &RedisError) -> Option<Refusal> {
    let boxed = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    refusal(boxed.downcast_ref::<std::io::Error>()?)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_inside_an_error_of_redis() {
        let inside = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, inside);
        let finding = refused(([127, 0, 0, 1], 6379).into(), &RedisError::from(error));
        let finding = finding.expect("it is one of TLS");
        assert_eq!(finding.level, Level::Bad);
        assert!(finding.mend.contains("--redis-ca"), "{finding:?}");
        let other = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(refused(([127, 0, 0, 1], 6379).into(), &other).is_none());
    }
}
