//! The account beside real servers: what it claims is what they say.

mod blocking;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::conversation::*;
use super::ledger::Why;
use crate::servers::{self, PATIENCE, Server, on_every_server};
use blocking::{
    a_demoted_master_undoes_and_another_goes_on, a_replica_refuses_and_a_master_goes_on,
    the_null_reply_is_that_of_a_timeout,
};

on_every_server!(
    every_command_gets_as_many_replies_as_are_counted,
    what_is_replayed_is_what_the_server_had,
    subscriptions_are_counted_as_the_server_does,
    the_null_reply_is_that_of_a_timeout,
    a_demoted_master_undoes_and_another_goes_on,
    a_replica_refuses_and_a_master_goes_on,
);

/// A real connection with an account of it, both directions in random pieces.
struct Client {
    stream: TcpStream,
    it: Conversation,
    random: u64,
}

impl Client {
    fn new(server: &Server) -> Client {
        let stream = TcpStream::connect((server.addr.ip, server.addr.port)).expect("it listens");
        stream.set_nodelay(true).expect("a live socket");
        Client { stream, it: Conversation::default(), random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// With the protocol of this version.
    fn speaking(server: &Server, version: &str) -> Client {
        let mut client = Client::new(server);
        if version == "3" {
            client.ask("HELLO 3");
        }
        client
    }

    /// A size for the next piece, often a small one.
    fn piece(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        1 + (self.random % (1 << (self.random >> 60))) as usize
    }

    /// Sends these bytes through the account.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(self.piece().min(bytes.len()));
            let sent = self.it.to_master.len();
            assert_eq!(self.it.send(piece).cut, None);
            self.stream.write_all(&self.it.to_master[sent..]).expect("it takes requests");
            bytes = rest;
        }
    }

    /// Takes what the server sends until `enough`. Returns whether something was undone.
    fn receive(&mut self, what: &str, enough: impl Fn(&Conversation) -> bool) -> bool {
        let start = Instant::now();
        self.stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        while !enough(&self.it) {
            assert!(start.elapsed() < PATIENCE, "{what}: {}", self.got());
            let mut bytes = [0; 4096];
            let room = self.piece().min(bytes.len());
            match self.stream.read(&mut bytes[..room]) {
                Ok(0) => panic!("{what}: the server left: {}", self.got()),
                Ok(count) => {
                    if self.it.answer(&bytes[..count]).undone {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{what}: {error}"),
            }
        }
        false
    }

    /// What the client got, and what is held back.
    fn got(&self) -> String {
        let all = [&self.it.to_client[..], &self.it.down].concat();
        String::from_utf8_lossy(&all[all.len().saturating_sub(4096)..]).into_owned()
    }

    /// One request and its replies.
    fn ask(&mut self, words: &str) -> String {
        self.it.to_client.clear();
        self.send(&request(words));
        self.receive(words, |it| it.ledger.is_settled() || it.ledger.is_midway());
        self.got()
    }
}

/// A number after another, for the arguments of any command.
const ARGUMENT: &str = "0.01";
/// What ends the server or the connection, or what follows is not replies.
const LEFT_OUT: &[&str] = &[
    "shutdown",
    "quit",
    "monitor",
    "sync",
    "psync",
    "replconf",
    "debug",
    "failover",
    "replicaof",
    "slaveof",
    "host:",
    "post",
    "client|reply",
    "cluster|syncslots",
];

/// All commands of the server, with up to four arguments that few of them like, and with those that
/// set something in between; a marker behind each shows that no reply was missed or invented.
fn every_command_gets_as_many_replies_as_are_counted(binary: &Path) {
    let server = Server::master(binary);
    let mut lines: Vec<String> = EVERYDAY.iter().map(|line| (*line).to_owned()).collect();
    for name in command_names(&server) {
        if !LEFT_OUT.contains(&name.as_str()) {
            let words = name.replace('|', " ");
            lines.extend(
                (0..5).map(|count| format!("{words}{}", format!(" {ARGUMENT}").repeat(count))),
            );
        }
    }
    assert!(lines.len() > 1000, "{} requests", lines.len());
    for version in ["2", "3"] {
        for line in &lines {
            let mut client = Client::speaking(&server, version);
            client.it.to_client.clear();
            client.send(&[request(line), request("PING marker")].concat());
            let is_over = |it: &Conversation| {
                [&b"marker\r\n"[..], b"+QUEUED\r\n"].iter().any(|end| it.to_client.ends_with(end))
            };
            client.receive(line, |it| {
                let over = is_over(it);
                let outstanding =
                    it.may_move()[0] == Err(Why::Outstanding) || !it.ledger.is_settled();
                assert!(over || outstanding || it.to_client.is_empty(), "{line}");
                over
            });
            assert_ne!(client.it.may_move()[0], Err(Why::Tunnel), "{line}: {}", client.got());
            let settled = client.it.ledger.is_settled() || client.it.ledger.is_midway();
            assert!(settled, "RESP{version} {line}: {}", client.got());
        }
    }
}

/// Each in a session of its own; what fails on old servers does so everywhere.
const EVERYDAY: &[&str] = &[
    "SET a 1",
    "GET a",
    "INCR a",
    "MGET a b c",
    "HSET h f v",
    "HGETALL h",
    "LPUSH l 1 2 3",
    "LRANGE l 0 -1",
    "ZADD z 1.5 a 2 b",
    "ZRANGE z 0 -1 WITHSCORES",
    "SADD s a b",
    "SMEMBERS s",
    "XADD x * f v",
    "XRANGE x - +",
    "XREAD COUNT 1 STREAMS x 0",
    "XREAD BLOCK 10 STREAMS x $",
    "XGROUP CREATE x g 0",
    "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
    "XINFO STREAM x FULL",
    "GEOADD g 1 2 m",
    "GEOSEARCH g FROMMEMBER m BYRADIUS 1 km WITHCOORD",
    "EVAL return{1,'a',{err='x'}} 0",
    "EVAL return{double=3.5} 0",
    "EVAL return{map={a=1}} 0",
    "SCRIPT LOAD return",
    "SCRIPT LOAD return(1)",
    "FUNCTION LIST",
    "SCAN 0",
    "HSCAN h 0",
    "CLIENT SETNAME x",
    "CLIENT GETNAME",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLIENT TRACKING ON",
    "CLIENT TRACKINGINFO",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-TOUCH ON",
    "CLIENT SETINFO LIB-NAME x",
    "CLIENT MAINT_NOTIFICATIONS ON",
    "CLIENT REPLY OFF X",
    "COMMAND DOCS",
    "COMMAND COUNT",
    "CONFIG GET *",
    "INFO everything",
    "MEMORY STATS",
    "LATENCY HISTOGRAM",
    "ACL LIST",
    "ACL GETUSER default",
    "AUTH x",
    "AUTH x y",
    "SELECT 5",
    "HELLO",
    "HELLO 2",
    "HELLO 3",
    "HELLO 4",
    "HELLO 3 SETNAME x",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH a",
    "UNWATCH",
    "RESET",
    "WAIT 0 1",
    "BLPOP none 0.01",
    "BLPOP l 0",
    "BLMOVE l m LEFT LEFT 0",
    "BZMPOP 0.01 1 z MIN",
    "SUBSCRIBE a b c",
    "PSUBSCRIBE a*",
    "SSUBSCRIBE a",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE x y",
    "SUNSUBSCRIBE",
    "PUBLISH a b",
    "PUBSUB CHANNELS",
    "LOLWUT",
    "DUMP a",
    "OBJECT HELP",
    "LCS a b IDX",
    "SORT l",
    "TIME",
    "ROLE",
    "KEYS *",
];

/// With those of subcommands as `command|subcommand`, where the server tells.
fn command_names(server: &Server) -> Vec<String> {
    fn walk(commands: &redis::Value, names: &mut Vec<String>) {
        let redis::Value::Array(commands) = commands else { return };
        for command in commands {
            let redis::Value::Array(fields) = command else { continue };
            names.push(redis::from_redis_value_ref(&fields[0]).expect("a name"));
            if let Some(subcommands) = fields.get(9) {
                walk(subcommands, names);
            }
        }
    }
    let mut names = Vec::new();
    walk(&server.ask(&["COMMAND"]), &mut names);
    assert!(names.len() > 200, "{} commands", names.len());
    names
}

/// What a server says of a connection that a new one can have too.
fn state(client: &mut Client) -> Vec<String> {
    let info = client.ask("CLIENT INFO");
    let told = ["name=", "db=", "user=", "resp=", "lib-name=", "lib-ver=", "flags="];
    let fields = info.split_whitespace();
    fields
        .filter(|field| told.iter().any(|told| field.starts_with(told)))
        .map(str::to_owned)
        .collect()
}

fn what_is_replayed_is_what_the_server_had(binary: &Path) {
    let server = Server::master(binary);
    server.ask(&["ACL", "SETUSER", "user", "on", ">secret", "allcommands", "allkeys"]);
    let sessions: &[&[&str]] = &[
        &[],
        &[
            "SELECT 7",
            "CLIENT SETNAME me",
            "CLIENT SETINFO LIB-NAME lib",
            "CLIENT SETINFO LIB-VER 1",
        ],
        &[
            "HELLO 3 AUTH user secret SETNAME me",
            "SELECT 3",
            "CLIENT NO-EVICT ON",
            "CLIENT NO-TOUCH ON",
        ],
        &["AUTH user secret", "HELLO 3", "HELLO 2", "SELECT 1", "SELECT 0", "CLIENT SETNAME me"],
        &["AUTH user secret", "AUTH user wrong", "SELECT 99", "SELECT x", "CLIENT SETNAME a\nb"],
        &["HELLO 3 SETNAME me", "CLIENT SETNAME ''", "CLIENT NO-TOUCH ON", "CLIENT NO-TOUCH OFF"],
        &[
            "AUTH user secret",
            "HELLO 3 SETNAME me",
            "CLIENT SETINFO LIB-NAME lib",
            "SELECT 4",
            "RESET",
        ],
        &["SELECT 2", "MULTI", "SET a b", "EXEC", "WATCH a", "UNWATCH", "HELLO 3 AUTH user wrong"],
        &["HELLO 9", "HELLO x", "HELLO 3 AUTH user", "CLIENT NO-EVICT maybe", "CLIENT SETINFO X y"],
        &["CLIENT TRACKING ON", "CLIENT TRACKING OFF", "CLIENT MAINT_NOTIFICATIONS ON", "SELECT 9"],
    ];
    for session in sessions {
        let mut client = Client::new(&server);
        for words in *session {
            client.ask(words);
        }
        client.it.assert_free();
        let mut other = Client::new(&server);
        let (replay, count) = client.it.ledger.replay();
        other.send(&replay);
        other.receive("replay", |it| it.ledger.is_settled());
        assert!(!other.got().contains("-ERR"), "{session:?}: {}", other.got());
        other.it.assert_free();
        assert_eq!(other.it.replayed().len(), count as usize, "{session:?}");
        assert_eq!(state(&mut other), state(&mut client), "{session:?}");
    }
}

fn subscriptions_are_counted_as_the_server_does(binary: &Path) {
    let server = Server::master(binary);
    for version in ["2", "3"] {
        let mut client = Client::speaking(&server, version);
        let requests = [
            "SUBSCRIBE a b a",
            "PSUBSCRIBE p* q*",
            "SSUBSCRIBE s t",
            "PING",
            "UNSUBSCRIBE",
            "UNSUBSCRIBE",
            "PUNSUBSCRIBE none",
            "PUNSUBSCRIBE",
            "SUNSUBSCRIBE s",
            "SUBSCRIBE c",
            "SUNSUBSCRIBE",
            "SUNSUBSCRIBE",
        ];
        client.send(&requests.map(request).concat());
        client.receive("all", |it| it.ledger.is_settled());
        client.it.assert_stuck(Why::Subscribed);
        for number in 0..100 {
            server.ask(&["PUBLISH", "c", &format!("message {number}")]);
        }
        client.receive("messages", |it| it.to_client.ends_with(b"message 99\r\n"));
        assert!(client.it.ledger.is_settled());
        client.ask("UNSUBSCRIBE c");
        client.it.assert_free();
        assert!(client.ask("ECHO x").ends_with("$1\r\nx\r\n"));
        client.it.assert_free();
    }
}
