//! A client that speaks RESP, and masters that do what a test tells them.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_hive::election::Keep;
use redis_hive::proxy::ProxySettings;

use crate::support::*;

/// These words as a request.
pub fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

/// A connection that speaks RESP.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        let reader = BufReader::new(stream.try_clone().unwrap());
        Client { stream, reader }
    }

    pub fn send(&mut self, words: &[&str]) {
        self.stream.write_all(&request(words)).expect("write");
    }

    /// The next frame, written as a person would: `OK`, `-ERR no`, `[1 two nil]`.
    pub fn frame(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let mut many = |count: usize| -> io::Result<String> {
            let items: io::Result<Vec<_>> = (0..count).map(|_| self.frame()).collect();
            Ok(format!("[{}]", items?.join(" ")))
        };
        match kind {
            "$" | "*" if rest == "-1" => Ok("nil".into()),
            "_" => Ok("nil".into()),
            "*" | "~" | ">" => many(rest.parse().unwrap()),
            "%" => many(2 * rest.parse::<usize>().unwrap()),
            "$" | "=" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.reader.read_exact(&mut bytes)?;
                Ok(String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned())
            }
            "-" => Ok(format!("-{rest}")),
            "+" | ":" | "," | "#" | "(" => Ok(rest.into()),
            // A request without form.
            "P" => Ok(line.trim_end().into()),
            _ => panic!("no RESP: {line:?}"),
        }
    }

    /// Asks and is answered.
    pub fn call(&mut self, words: &[&str]) -> String {
        self.send(words);
        self.frame().unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Asks, and is answered `OK`.
    pub fn ok(&mut self, words: &[&str]) {
        assert_eq!(self.call(words), "OK", "{words:?}");
    }

    /// The connection is reset, without its having asked for anything.
    pub fn expect_cut(&mut self, what: &str) {
        let mut frame = self.frame();
        // MONITOR tells of what others do.
        while frame.as_ref().is_ok_and(|frame| frame.contains("[0 ")) {
            frame = self.frame();
        }
        let error = frame.expect_err(what);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{what}");
    }

    /// Nothing comes for a while, nor an end.
    pub fn expect_silence(&mut self, what: &str) {
        expect_silence(&self.stream, what);
    }
}

/// What masters hold; several can hold the same.
pub type Data = Arc<Mutex<HashMap<String, String>>>;

/// What a master does instead of answering as usual.
pub enum Act {
    /// Says this, in RESP.
    Say(String),
    /// Says nothing.
    Nothing,
    /// Answers as usual after this time.
    Late(Duration),
}

/// A master of our own, which ends with this value.
pub struct Fake {
    pub server: Server,
    pub data: Data,
    asked: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Fake {
    /// Answers as usual.
    pub fn start() -> Fake {
        Fake::with(Data::default(), |_| None)
    }

    /// Answers as usual where the rule does not say otherwise.
    pub fn with(
        data: Data,
        rule: impl Fn(&[String]) -> Option<Act> + Clone + Send + 'static,
    ) -> Fake {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (open, streams) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (list, count, all, held) = (asked.clone(), open.clone(), streams.clone(), data.clone());
        let server = Server::start(move |stream: TcpStream| {
            stream.set_read_timeout(None).unwrap();
            all.lock().unwrap().push(stream.try_clone().unwrap());
            count.fetch_add(1, Ordering::SeqCst);
            let _ = serve(&stream, &held, &list, &rule);
            let _ = stream.shutdown(Shutdown::Both);
            count.fetch_sub(1, Ordering::SeqCst);
        });
        Fake { server, data, asked, open, streams }
    }

    /// All requests so far, of all connections.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until this was asked.
    pub fn await_asked(&self, what: &str) {
        wait_until(what, || self.asked().iter().any(|asked| asked == what));
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The gauge of [`Fake::open`].
    pub fn gauge(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }

    /// Sends this on every connection.
    pub fn push(&self, text: &str) {
        for mut stream in self.streams.lock().unwrap().iter() {
            let _ = stream.write_all(text.as_bytes());
        }
    }

    /// Closes all connections and goes on taking new ones.
    pub fn close_all(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends as a killed process does: takes no connections and closes all.
    pub fn die(self) {
        let Fake { server, streams, .. } = self;
        drop(server);
        for stream in streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(
    mut stream: &TcpStream,
    data: &Data,
    list: &Mutex<Vec<String>>,
    rule: &impl Fn(&[String]) -> Option<Act>,
) -> io::Result<()> {
    let mut reader = Client::new(stream.try_clone()?);
    loop {
        let words = reader.frame()?;
        let words: Vec<String> =
            words.trim_matches(['[', ']']).split(' ').map(str::to_owned).collect();
        list.lock().unwrap().push(words.join(" "));
        let answer = match rule(&words) {
            None => usual(&words, data),
            Some(Act::Say(text)) => text,
            Some(Act::Nothing) => continue,
            Some(Act::Late(by)) => {
                std::thread::sleep(by);
                usual(&words, data)
            }
        };
        stream.write_all(answer.as_bytes())?;
    }
}

fn usual(words: &[String], data: &Data) -> String {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let word = |n: usize| words.get(n).cloned().unwrap_or_default();
    let mut data = data.lock().unwrap();
    match word(0).to_ascii_uppercase().as_str() {
        "PING" => "+PONG\r\n".into(),
        "HELLO" => "%1\r\n+proto\r\n:3\r\n".into(),
        "GET" => data.get(&word(1)).map_or("$-1\r\n".into(), |value| bulk(value)),
        "SET" => {
            data.insert(word(1), word(2));
            "+OK\r\n".into()
        }
        "INCR" => {
            let value = data.entry(word(1)).or_insert_with(|| "0".into());
            *value = (value.parse::<u64>().unwrap() + 1).to_string();
            format!(":{value}\r\n")
        }
        _ => "+OK\r\n".into(),
    }
}

/// How long this takes.
pub fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = run();
    (result, begun.elapsed())
}

/// Everybody whose last reply has come already.
pub fn planned(hive: &Hive) -> Keep {
    Keep::Planned { before: hive.now() }
}

pub fn crash(hive: &Hive) -> Keep {
    Keep::Crash { before: hive.now() }
}

/// A proxy with a master, and a client that was answered by it.
pub fn served(master: &Fake) -> (Hive, Client) {
    served_with(master, |_| {})
}

pub fn served_with(master: &Fake, change: impl FnOnce(&mut ProxySettings)) -> (Hive, Client) {
    let hive = Hive::with(change);
    hive.route(forward(1, master.server.addr));
    hive.proxy.touch(Instant::now() + PATIENCE);
    let client = answered(&hive);
    (hive, client)
}

pub fn answered(hive: &Hive) -> Client {
    let mut client = Client::new(hive.client());
    assert_eq!(client.call(&["PING"]), "PONG");
    client
}
