//! A headless Service's DNS on loopback: one name, a set of addresses that can change, and faults.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SOA};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// An answer over UDP is at most this long, even if the asker offers more; a longer one is
/// truncated and asked again over TCP, as CoreDNS does it.
const UDP_MAX: usize = 1232;
/// A TCP client that neither asks nor reads for this long is dropped.
const TCP_IDLE: Duration = Duration::from_secs(5);

/// What the server does instead of answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Answers as it should.
    #[default]
    None,
    /// Answers every question with SERVFAIL.
    ServFail,
    /// Reads every question and never answers.
    Drop,
    /// Answers as it should, this much later.
    Slow(Duration),
}

/// The embedded server: UDP and TCP on one port of one address, in a thread of its own that ends
/// when the value is dropped.
///
/// It is authoritative for one name: A and AAAA records with TTL 0, NODATA for other types,
/// NXDOMAIN for other names, both with an SOA.
#[derive(Debug)]
pub struct DnsServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: Name,
    zone: Mutex<Zone>,
    queries: AtomicU64,
}

#[derive(Debug, Default)]
struct Zone {
    addresses: BTreeSet<IpAddr>,
    fault: Fault,
}

impl DnsServer {
    /// Starts serving `name` with no address, on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `name` is no DNS name; otherwise what the sockets say.
    pub fn start(name: &str) -> io::Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST, name)
    }

    /// The same on another address of this machine.
    ///
    /// # Errors
    ///
    /// As [`DnsServer::start`].
    pub fn start_on(ip: Ipv4Addr, name: &str) -> io::Result<Self> {
        Self::start_at(SocketAddrV4::new(ip, 0), name)
    }

    /// The same on this port; 0 is any that is free.
    ///
    /// # Errors
    ///
    /// As [`DnsServer::start`].
    pub fn start_at(at: SocketAddrV4, name: &str) -> io::Result<Self> {
        let mut parsed = Name::from_str(name)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))?;
        parsed.set_fqdn(true);
        let (udp, tcp) = bind_pair(at)?;
        let addr = tcp.local_addr()?;
        let shared = Arc::new(Shared {
            name: parsed,
            zone: Mutex::new(Zone::default()),
            queries: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("dev-dns".into())
            .spawn(move || runtime.block_on(serve(udp, tcp, for_thread, stopped)))?;
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, for UDP and TCP.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces the addresses behind the name.
    pub fn set(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.shared.zone().addresses = addresses.into_iter().collect();
    }

    /// Adds an address; one that is nobody's is fine, DNS may be stale.
    pub fn list(&self, address: impl Into<IpAddr>) {
        self.shared.zone().addresses.insert(address.into());
    }

    /// Removes an address.
    pub fn unlist(&self, address: impl Into<IpAddr>) {
        self.shared.zone().addresses.remove(&address.into());
    }

    /// The addresses behind the name.
    #[must_use]
    pub fn listed(&self) -> Vec<IpAddr> {
        self.shared.zone().addresses.iter().copied().collect()
    }

    /// Switches a fault on, or off with [`Fault::None`].
    pub fn set_fault(&self, fault: Fault) {
        self.shared.zone().fault = fault;
    }

    /// How many questions came in, answered or not.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.shared.queries.load(Ordering::Relaxed)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long an answer has to wait before it goes out.
    fn delay(&self) -> Duration {
        if let Fault::Slow(delay) = self.zone().fault { delay } else { Duration::ZERO }
    }

    /// The bytes to send back, or `None` to stay silent. `limit` is the transport's longest
    /// message; UDP may lower it further by what the asker offers.
    fn answer(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let request = Message::from_vec(question).ok()?;
        if request.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
        reply.metadata.recursion_desired = request.metadata.recursion_desired;
        reply.add_queries(request.queries.iter().cloned());
        if request.edns.is_some() {
            reply.edns.clone_from(&request.edns);
        }
        let zone = self.zone();
        match zone.fault {
            Fault::Drop => return None,
            Fault::ServFail => reply.metadata.response_code = ResponseCode::ServFail,
            Fault::None | Fault::Slow(_) => self.fill(&request, &zone, &mut reply),
        }
        drop(zone);
        let bytes = reply.to_vec().ok()?;
        let limit = if udp {
            UDP_MAX.min(usize::from(request.max_payload()))
        } else {
            usize::from(u16::MAX)
        };
        if bytes.len() <= limit { Some(bytes) } else { reply.truncate().to_vec().ok() }
    }

    fn fill(&self, request: &Message, zone: &Zone, reply: &mut Message) {
        reply.metadata.authoritative = true;
        let [query] = request.queries.as_slice() else {
            reply.metadata.response_code = ResponseCode::FormErr;
            return;
        };
        if request.metadata.op_code != OpCode::Query || query.query_class() != DNSClass::IN {
            reply.metadata.response_code = ResponseCode::NotImp;
            return;
        }
        if *query.name() != self.name {
            reply.metadata.response_code = ResponseCode::NXDomain;
        } else {
            let kind = query.query_type();
            for address in &zone.addresses {
                let data = match (kind, address) {
                    (RecordType::A, IpAddr::V4(ip)) => RData::A(A(*ip)),
                    (RecordType::AAAA, IpAddr::V6(ip)) => RData::AAAA(AAAA(*ip)),
                    _ => continue,
                };
                reply.add_answer(Record::from_rdata(self.name.clone(), 0, data));
            }
        }
        if reply.answers.is_empty() {
            let apex = self.name.base_name();
            let soa = SOA::new(apex.clone(), apex.clone(), 1, 5, 5, 5, 0);
            reply.add_authority(Record::from_rdata(apex, 0, RData::SOA(soa)));
        }
    }
}

/// One port for both transports: the kernel chooses it for TCP, UDP must have it too.
fn bind_pair(at: SocketAddrV4) -> io::Result<(std::net::UdpSocket, std::net::TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..20 {
        let tcp = std::net::TcpListener::bind(at)?;
        match std::net::UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => {
                tcp.set_nonblocking(true)?;
                udp.set_nonblocking(true)?;
                return Ok((udp, tcp));
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

async fn serve(
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let (Ok(udp), Ok(tcp)) = (UdpSocket::from_std(udp), TcpListener::from_std(tcp)) else {
        return;
    };
    let udp = Arc::new(udp);
    let mut buffer = [0_u8; 4096];
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            received = udp.recv_from(&mut buffer) => {
                // An ICMP error of an earlier answer shows up here; it concerns nobody else.
                let Ok((len, from)) = received else { continue };
                let Some(reply) = buffer.get(..len).and_then(|q| shared.answer(q, true)) else {
                    continue;
                };
                let delay = shared.delay();
                if delay.is_zero() {
                    let _ = udp.try_send_to(&reply, from);
                } else {
                    let udp = Arc::clone(&udp);
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        let _ = udp.try_send_to(&reply, from);
                    });
                }
            }
            accepted = tcp.accept() => {
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(serve_tcp(stream, Arc::clone(&shared)));
                }
            }
        }
    }
}

/// Questions and answers with a length of two bytes before each, until either side has enough.
async fn serve_tcp(mut stream: TcpStream, shared: Arc<Shared>) {
    let exchange = async |stream: &mut TcpStream| -> io::Result<()> {
        let len = stream.read_u16().await?;
        let mut question = vec![0_u8; usize::from(len)];
        stream.read_exact(&mut question).await?;
        let Some(reply) = shared.answer(&question, false) else { return Ok(()) };
        tokio::time::sleep(shared.delay()).await;
        let len = u16::try_from(reply.len()).map_err(io::Error::other)?;
        stream.write_all(&len.to_be_bytes()).await?;
        stream.write_all(&reply).await
    };
    while let Ok(Ok(())) = timeout(TCP_IDLE, exchange(&mut stream)).await {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::net::{DnsError, NetError};
    use hickory_resolver::proto::op::Query;

    const NAME: &str = "redis-peers.test.svc.cluster.local.";

    fn resolver(server: &DnsServer) -> TokioResolver {
        let mut ns = NameServerConfig::udp_and_tcp(server.addr().ip());
        for connection in &mut ns.connections {
            connection.port = server.addr().port();
        }
        let config = ResolverConfig::from_parts(None, vec![], vec![ns]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = Duration::from_millis(300);
        options.attempts = 0;
        options.use_hosts_file = ResolveHosts::Never;
        builder.build().expect("resolver")
    }

    async fn v4(resolver: &TokioResolver, name: &str) -> Result<BTreeSet<Ipv4Addr>, NetError> {
        let found = resolver.ipv4_lookup(name).await?;
        let pick = |r: &Record| if let RData::A(a) = &r.data { Some(a.0) } else { None };
        Ok(found.answers().iter().filter_map(pick).collect())
    }

    #[tokio::test]
    async fn answers_follow_the_set() {
        let server = DnsServer::start(NAME).expect("start");
        let resolver = resolver(&server);
        let (one, two) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2));
        server.set([IpAddr::V4(one)]);
        server.list(two);
        server.list(std::net::Ipv6Addr::LOCALHOST);
        assert_eq!(v4(&resolver, NAME).await.expect("two"), BTreeSet::from([one, two]));
        server.unlist(one);
        assert_eq!(v4(&resolver, NAME).await.expect("one"), BTreeSet::from([two]));
        let six = resolver.ipv6_lookup(NAME).await.expect("AAAA");
        assert_eq!(six.answers().len(), 1);
        assert_eq!(six.answers()[0].ttl, 0);
    }

    #[tokio::test]
    async fn a_long_answer_is_truncated_and_complete_over_tcp() {
        let server = DnsServer::start(NAME).expect("start");
        let all: BTreeSet<Ipv4Addr> = (1..=200).map(|n| Ipv4Addr::new(127, 9, 9, n)).collect();
        server.set(all.iter().copied().map(IpAddr::V4));

        let mut query = Message::query();
        query.add_query(Query::query(Name::from_str(NAME).expect("name"), RecordType::A));
        let bytes = query.to_vec().expect("query");
        let short = server.shared.answer(&bytes, true).expect("udp answer");
        let short = Message::from_vec(&short).expect("parse");
        assert!(short.metadata.truncation && short.answers.is_empty());

        assert_eq!(v4(&resolver(&server), NAME).await.expect("tcp"), all);
    }

    #[tokio::test]
    async fn nothing_to_say_is_said_with_an_soa() {
        let server = DnsServer::start(NAME).expect("start");
        let resolver = resolver(&server);
        server.list(Ipv4Addr::LOCALHOST);
        let Err(NetError::Dns(DnsError::NoRecordsFound(none))) = resolver.ipv6_lookup(NAME).await
        else {
            panic!("AAAA without an address must be NODATA")
        };
        assert_eq!(none.response_code, ResponseCode::NoError);
        assert!(none.soa.is_some());
        let other = v4(&resolver, "other.test.svc.cluster.local.").await.expect_err("no such name");
        assert!(other.is_nx_domain(), "{other}");
    }

    #[tokio::test]
    async fn faults_switch_on_and_off() {
        let server = DnsServer::start(NAME).expect("start");
        let resolver = resolver(&server);
        server.list(Ipv4Addr::LOCALHOST);
        server.set_fault(Fault::ServFail);
        let failed = v4(&resolver, NAME).await.expect_err("SERVFAIL");
        assert!(
            matches!(&failed, NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail))),
            "{failed:?}"
        );
        server.set_fault(Fault::Drop);
        let before = server.queries();
        let silent = v4(&resolver, NAME).await.expect_err("silence");
        assert!(!matches!(silent, NetError::Dns(_)), "{silent:?}");
        assert!(server.queries() > before);
        server.set_fault(Fault::Slow(Duration::from_millis(100)));
        let asked = std::time::Instant::now();
        assert_eq!(v4(&resolver, NAME).await.expect("late").len(), 1);
        assert!(asked.elapsed() >= Duration::from_millis(100));
        server.set_fault(Fault::None);
        assert_eq!(v4(&resolver, NAME).await.expect("well again").len(), 1);
    }
}
