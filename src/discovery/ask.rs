//! One question to DNS, and what its answer is worth.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;

use super::{DiscoveryError, Failure, Outcome};

/// Deadline of one question, asked of all name servers at once.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(800);
/// Deadline of one round, whatever the resolver does.
const ROUND_TIMEOUT: Duration = Duration::from_secs(1);
/// More addresses than this of one service are not believed to be hives.
const ADDRESSES_MAX: usize = 1024;

type Family = Result<Vec<IpAddr>, Failure>;

/// Both families of one absolute name, within the round's deadline.
pub(super) async fn ask(resolver: &TokioResolver, name: &str) -> (Outcome, Vec<IpAddr>) {
    let both = async { tokio::join!(resolver.ipv4_lookup(name), resolver.ipv6_lookup(name)) };
    match tokio::time::timeout(ROUND_TIMEOUT, both).await {
        Ok((a, aaaa)) => judge(family(a), family(aaaa)),
        Err(_) => (Outcome::Failed(Failure::Silence), Vec::new()),
    }
}

/// An empty answer of one family is an answer as long as the other has addresses; NXDOMAIN beside
/// addresses is a contradiction and counts as a failure.
fn judge(a: Family, aaaa: Family) -> (Outcome, Vec<IpAddr>) {
    let failed = [&a, &aaaa].into_iter().filter_map(|family| family.as_ref().err().copied());
    // The gravest tells: a server that fails says nothing about the name.
    let worst = failed.max_by_key(|failure| match failure {
        Failure::NoAddress => 0,
        Failure::NoSuchName => 1,
        Failure::TooMany => 2,
        Failure::ServerFailure => 3,
        Failure::Silence => 4,
    });
    let mut addresses: Vec<IpAddr> = [a, aaaa].into_iter().flatten().flatten().collect();
    addresses.sort_unstable();
    addresses.dedup();
    let many = addresses.len() > ADDRESSES_MAX;
    addresses.truncate(ADDRESSES_MAX);
    let outcome = match (addresses.is_empty(), worst) {
        (true, worst) => Outcome::Failed(worst.unwrap_or(Failure::NoAddress)),
        (false, _) if many => Outcome::Partly(Failure::TooMany),
        (false, None | Some(Failure::NoAddress)) => Outcome::Complete,
        (false, Some(failure)) => Outcome::Partly(failure),
    };
    (outcome, addresses)
}

fn family(answer: Result<Lookup, NetError>) -> Family {
    let lookup = answer.map_err(|error| match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NXDomain,
            ..
        })) => Failure::NoSuchName,
        NetError::Dns(DnsError::NoRecordsFound(_)) => Failure::NoAddress,
        NetError::Dns(_) => Failure::ServerFailure,
        _ => Failure::Silence,
    })?;
    // An answer may hold the CNAMEs that led to it.
    let addresses = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0).to_canonical()),
        _ => None,
    });
    Ok(addresses.filter(|ip| !ip.is_unspecified() && !ip.is_multicast()).collect())
}

/// A resolver without cache and hosts file; `nameserver` instead of the system's, if given.
pub(super) fn resolver(nameserver: Option<SocketAddr>) -> Result<TokioResolver, DiscoveryError> {
    let mut builder = match nameserver {
        Some(addr) => {
            let mut server = NameServerConfig::udp_and_tcp(addr.ip());
            server.connections.iter_mut().for_each(|connection| connection.port = addr.port());
            TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), vec![server]),
                TokioRuntimeProvider::default(),
            )
        }
        None => TokioResolver::builder_tokio().map_err(DiscoveryError::NoServer)?,
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.edns0 = true; // Many addresses in one datagram; else TCP.
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 0; // The next round is the retry.
    options.use_hosts_file = ResolveHosts::Never; // The kubelet writes our own address there.
    options.num_concurrent_reqs = 8; // A dead first server must not eat the deadline.
    builder.build().map_err(DiscoveryError::NoServer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_answers_make_a_whole_one() {
        use Failure::{NoAddress, NoSuchName, ServerFailure, Silence};
        let some = || Ok(vec![IpAddr::from([10, 0, 0, 1])]);
        let outcome = |a, aaaa| judge(a, aaaa).0;
        assert_eq!(outcome(some(), Err(NoAddress)), Outcome::Complete);
        assert_eq!(outcome(Err(NoAddress), some()), Outcome::Complete);
        assert_eq!(outcome(some(), Err(ServerFailure)), Outcome::Partly(ServerFailure));
        assert_eq!(outcome(some(), Err(NoSuchName)), Outcome::Partly(NoSuchName));
        assert_eq!(outcome(Err(NoAddress), Err(NoAddress)), Outcome::Failed(NoAddress));
        assert_eq!(outcome(Err(NoSuchName), Err(Silence)), Outcome::Failed(Silence));
        assert_eq!(outcome(Ok(Vec::new()), Ok(Vec::new())), Outcome::Failed(NoAddress));
    }

    #[test]
    fn absurdly_many_addresses_are_cut_and_not_believed() {
        let many = (0..5000_u32).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes())).collect();
        let (outcome, addresses) = judge(Ok(many), Err(Failure::NoAddress));
        assert_eq!(outcome, Outcome::Partly(Failure::TooMany));
        assert_eq!(addresses.len(), ADDRESSES_MAX);
    }
}
