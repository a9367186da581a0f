//! The flags of TLS to Redis, which mean something only together.

use std::path::PathBuf;

use super::flags::Flags;
use super::read::Reader;
use super::{Outside, RedisTls};

pub(super) fn redis_tls(
    read: &mut Reader<'_>,
    flags: &Flags,
    outside: &Outside,
) -> Option<RedisTls> {
    let given = [
        ("--redis-ca", &flags.redis_ca),
        ("--redis-cert", &flags.redis_cert),
        ("--redis-key", &flags.redis_key),
        ("--redis-tls-server-name", &flags.redis_tls_server_name),
    ];
    let [ca, cert, key, server_name] =
        given.map(|(flag, text)| (flag, read.optional(flag, text.as_ref()).map(str::to_owned)));
    if !read.yes("--redis-tls", flags.redis_tls.as_ref()) {
        for (flag, _) in [ca, cert, key, server_name].iter().filter(|(_, text)| text.is_some()) {
            read.warnings.push(format!("{flag} is not used without --redis-tls"));
        }
        return None;
    }
    for (flag, problem) in &outside.redis_tls {
        read.error(flag, format!("{problem}; mount the file there and let this user read it"));
    }
    if ca.1.is_none() {
        read.error("--redis-ca", "TLS needs the CA that signed the certificates of Redis (PEM)");
    }
    let pair = match (cert.1, key.1) {
        (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
        (Some(_), None) => {
            read.error("--redis-key", "--redis-cert needs its key");
            None
        }
        (None, Some(_)) => {
            read.error("--redis-cert", "--redis-key needs its certificate");
            None
        }
        (None, None) => None,
    };
    Some(RedisTls { ca: PathBuf::from(ca.1?), pair, server_name: server_name.1 })
}
