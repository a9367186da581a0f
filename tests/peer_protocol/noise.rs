//! The seal as `proto/peer.md` tells it, over a Noise library and without the code under test.

use blake2::{Blake2s256, Digest};
use redis_hive::election::NodeId;
use redis_hive::peer::codec::{self, Hello};
use snow::{Builder, HandshakeState, TransportState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::{PATIENCE, connect};

pub const FIRST: u8 = 0x02;
pub const ANSWER: u8 = 0x03;
const TAG: usize = 16;

/// What a connection is made with.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub name: &'a str,
    pub major: u8,
    pub secret: &'a str,
    /// Always the same key, for golden frames.
    pub ephemeral: Option<&'a [u8; 32]>,
}

impl<'a> Setting<'a> {
    pub fn of(secret: &'a str) -> Setting<'a> {
        Setting { name: "test", major: 1, secret, ephemeral: None }
    }

    pub fn handshake(&self, dialler: bool) -> HandshakeState {
        let prologue = [b"redis-hive peer", [self.major].as_slice(), self.name.as_bytes()].concat();
        let hashed = [b"redis-hive peer key 1\0", self.secret.as_bytes()].concat();
        let key: [u8; 32] = Blake2s256::digest(hashed).into();
        let pattern = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s".parse().expect("a pattern");
        let builder = Builder::new(pattern).prologue(&prologue).unwrap().psk(0, &key).unwrap();
        let builder = match self.ephemeral {
            Some(key) => builder.fixed_ephemeral_key_for_testing_only(key),
            None => builder,
        };
        if dialler { builder.build_initiator() } else { builder.build_responder() }
            .expect("a handshake")
    }
}

/// The next frame of a handshake.
pub fn next_frame(noise: &mut HandshakeState, kind: u8) -> Vec<u8> {
    let mut body = [0; 64];
    let len = noise.write_message(&[], &mut body).expect("a message");
    [&[0x52, 0x48, 1, kind, 0, 0, 0, len as u8], &body[..len]].concat()
}

/// The records of some bytes.
pub fn pack(noise: &mut TransportState, content: &[u8]) -> Vec<u8> {
    let mut record = vec![0; content.len() + TAG];
    let len = noise.write_message(content, &mut record).expect("a record");
    [&(len as u16).to_be_bytes(), record.as_slice()].concat()
}

/// What a record without its length holds.
pub fn unpack(noise: &mut TransportState, record: &[u8]) -> Vec<u8> {
    let mut content = vec![0; record.len() - TAG];
    noise.read_message(record, &mut content).expect("a good record");
    content
}

/// A raw connection to a hive, sealed.
pub struct Raw {
    pub stream: TcpStream,
    pub noise: TransportState,
    /// What was said so far, from the first byte.
    pub said: Vec<u8>,
}

impl Raw {
    /// Both handshake frames, and no hello yet.
    pub async fn proven(to: NodeId, secret: &str) -> Raw {
        let mut handshake = Setting::of(secret).handshake(true);
        let said = next_frame(&mut handshake, FIRST);
        let mut stream = connect(to).await;
        stream.write_all(&said).await.expect("written");
        let mut answer = [0; 56];
        let reading = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        reading.expect("an answer in time").expect("an answer");
        assert_eq!(answer[..8], [0x52, 0x48, 1, ANSWER, 0, 0, 0, 48]);
        handshake.read_message(&answer[8..], &mut []).expect("the same secret");
        Raw { stream, noise: handshake.into_transport_mode().expect("keys"), said }
    }

    /// Both hellos too.
    pub async fn greeted(to: NodeId, hello: &Hello, secret: &str) -> Raw {
        let mut raw = Raw::proven(to, secret).await;
        raw.say(&codec::encode_hello(hello)).await;
        assert_eq!(raw.hear().await[3], codec::kind::HELLO);
        raw
    }

    pub fn pack(&mut self, content: &[u8]) -> Vec<u8> {
        pack(&mut self.noise, content)
    }

    pub async fn say(&mut self, content: &[u8]) {
        let record = self.pack(content);
        self.said.extend_from_slice(&record);
        self.stream.write_all(&record).await.expect("written");
    }

    /// The content of the next record.
    pub async fn hear(&mut self) -> Vec<u8> {
        let record = self.hear_sealed().await;
        unpack(&mut self.noise, &record[2..])
    }

    /// The next record as it came.
    pub async fn hear_sealed(&mut self) -> Vec<u8> {
        let reading = async {
            let mut record = vec![0; 2];
            self.stream.read_exact(&mut record).await.expect("a length");
            let len = usize::from(u16::from_be_bytes([record[0], record[1]]));
            record.resize(2 + len, 0);
            self.stream.read_exact(&mut record[2..]).await.expect("a record");
            record
        };
        timeout(PATIENCE, reading).await.expect("a record in time")
    }
}
