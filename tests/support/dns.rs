//! A tiny DNS server inside the test: UDP and TCP on one loopback port, and every way to fail.
//!
//! Used with `#[path = "support/dns.rs"] mod dns;`. It ends when the [`Dns`] is dropped.

#![allow(dead_code)] // Every test crate uses another part.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Metadata, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// What one name answers to one kind of question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// These addresses; an empty list is NODATA.
    Addresses(Vec<IpAddr>),
    /// The name does not exist.
    NxDomain,
    /// The server says it cannot tell.
    ServFail,
    /// Nothing at all.
    Drop,
}

/// One name.
#[derive(Clone, Debug)]
pub struct Zone {
    /// To A.
    pub a: Reply,
    /// To AAAA.
    pub aaaa: Reply,
    /// Before every answer.
    pub delay: Duration,
    /// Answer over UDP with the TC bit and no record.
    pub truncate: bool,
}

impl Zone {
    /// These addresses, each under its family.
    pub fn of(addresses: &[&str]) -> Zone {
        let all: Vec<IpAddr> = addresses.iter().map(|a| a.parse().expect("an IP")).collect();
        let (a, aaaa) = all.into_iter().partition(IpAddr::is_ipv4);
        Zone {
            a: Reply::Addresses(a),
            aaaa: Reply::Addresses(aaaa),
            delay: Duration::ZERO,
            truncate: false,
        }
    }

    /// The same reply to both questions.
    pub fn both(reply: Reply) -> Zone {
        Zone { a: reply.clone(), aaaa: reply, delay: Duration::ZERO, truncate: false }
    }
}

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Lower case, with its dot.
    pub name: String,
    /// A, AAAA or something else.
    pub kind: RecordType,
    /// Whether over TCP.
    pub tcp: bool,
}

/// The running server. Unknown names are NXDOMAIN.
pub struct Dns {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    zones: BTreeMap<String, Zone>,
    asked: Vec<Asked>,
}

impl Dns {
    /// Begins to listen on a free port of 127.0.0.1.
    pub async fn start() -> Dns {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = tcp.local_addr().expect("bound");
            if let Ok(udp) = UdpSocket::bind(addr).await {
                break (Arc::new(udp), tcp);
            }
        };
        let addr = tcp.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&state)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&state)));
        Dns { addr, state, _tasks: tasks }
    }

    /// Sets what a name (absolute, with its dot) answers from now on.
    pub fn set(&self, name: &str, zone: Zone) {
        self.state.lock().expect("state").zones.insert(name.to_ascii_lowercase(), zone);
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().expect("state").asked.clone()
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, state: Arc<Mutex<State>>) {
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; 4096];
    loop {
        let (size, from) = socket.recv_from(&mut buffer).await.expect("loopback");
        let (request, state) = (buffer[..size].to_vec(), Arc::clone(&state));
        let socket = Arc::clone(&socket);
        while answers.try_join_next().is_some() {}
        answers.spawn(async move {
            if let Some(answer) = answer(&request, &state, false).await {
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("loopback");
        while connections.try_join_next().is_some() {}
        connections.spawn(serve_stream(stream, Arc::clone(&state)));
    }
}

async fn serve_stream(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Ok(size) = stream.read_u16().await {
        let mut request = vec![0; usize::from(size)];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let Some(answer) = answer(&request, &state, true).await else { continue };
        let size = u16::try_from(answer.len()).expect("fits a message");
        let framed = [size.to_be_bytes().as_slice(), &answer].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

/// The bytes of the answer; `None` drops it.
async fn answer(request: &[u8], state: &Mutex<State>, tcp: bool) -> Option<Vec<u8>> {
    let request = Message::from_vec(request).ok()?;
    let query = request.queries.first()?.clone();
    let name = query.name().to_ascii().to_ascii_lowercase();
    let kind = query.query_type();
    let zone = {
        let mut state = state.lock().expect("state");
        state.asked.push(Asked { name: name.clone(), kind, tcp });
        state.zones.get(&name).cloned()
    };
    let (reply, delay, truncate) = match zone {
        None => (Reply::NxDomain, Duration::ZERO, false),
        Some(zone) => {
            let reply = match kind {
                RecordType::A => zone.a,
                RecordType::AAAA => zone.aaaa,
                _ => Reply::Addresses(Vec::new()),
            };
            (reply, zone.delay, zone.truncate && !tcp)
        }
    };
    tokio::time::sleep(delay).await;

    let mut message = Message::query();
    message.metadata = Metadata::response_from_request(&request.metadata);
    message.add_query(query.clone());
    match reply {
        Reply::Drop => return None,
        Reply::ServFail => message.metadata.response_code = ResponseCode::ServFail,
        Reply::NxDomain => {
            message.metadata.response_code = ResponseCode::NXDomain;
            message.add_authority(soa());
        }
        Reply::Addresses(list) if list.is_empty() => {
            message.add_authority(soa());
        }
        Reply::Addresses(list) => {
            for ip in list {
                let data = match ip {
                    IpAddr::V4(ip) => RData::A(A(ip)),
                    IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
                };
                message.add_answer(Record::from_rdata(query.name().clone(), 5, data));
            }
        }
    }
    let bytes = message.to_vec().expect("encodes");
    let room = usize::from(request.max_payload().min(1232));
    if !truncate && (tcp || bytes.len() <= room) {
        return Some(bytes);
    }
    message.metadata.truncation = true;
    message.answers.clear();
    Some(message.to_vec().expect("encodes"))
}

fn soa() -> Record {
    let name = |text: &str| Name::from_ascii(text).expect("a name");
    let data = SOA::new(name("ns.test."), name("admin.test."), 1, 60, 60, 60, 5);
    Record::from_rdata(name("test."), 5, RData::SOA(data))
}
