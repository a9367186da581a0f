//! The seal: Noise NNpsk0 with a key made of the hive's secret. The handshake proves the secret to
//! both sides, and everything after it travels in encrypted, authenticated, numbered records.
//!
//! Nothing is sent in the handshake's own payloads: its first message can be replayed. The library
//! does not wipe its copies of keys: those of a handshake live for a second, those of a link as long
//! as the link.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use snow::{Builder, HandshakeState, TransportState};

use super::codec::{MAJOR, SEAL_LEN};
use crate::secrets::{Secret, Secrets};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"redis-hive peer";
/// Bytes in front of a record: its length.
pub(super) const LENGTH_LEN: usize = 2;
/// What a record is longer than its content, in bytes.
pub(super) const TAG_LEN: usize = 16;
/// The longest content of a record, in bytes.
pub(super) const MAX_CONTENT: usize = u16::MAX as usize - TAG_LEN;
/// Records of one direction that share a key. Then it is replaced by one that does not lead back.
const REKEY_EVERY: u64 = 1 << 16;

/// Why sealed bytes are thrown away, and the connection with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    /// Not made with the keys of this connection, changed, replayed, or out of order.
    #[error("a record that the other side did not make for this connection")]
    Forged,
    /// Something behind the record that says there is nothing more.
    #[error("bytes behind the end")]
    BehindEnd,
}

/// A connection that is sealed, and with which secret.
pub(super) struct Sealed {
    pub(super) secret: Secret,
    pub(super) seal: Seal,
}

/// The dialler's side, until the answer comes.
pub(super) struct Opening {
    noise: HandshakeState,
    secret: Secret,
}

/// Begins the handshake: the state, and what is sent.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn open(name: &str, secret: &Secret) -> Result<(Opening, [u8; SEAL_LEN]), snow::Error> {
    begin(builder(&prologue(name), secret)?, secret)
}

/// Answers a first message that was made with one of the secrets. `None`: with none of them, or for
/// a hive of another name or major version; it says nothing about which.
pub(super) fn answer(
    name: &str,
    secrets: &Secrets,
    first: &[u8; SEAL_LEN],
) -> Option<(Sealed, [u8; SEAL_LEN])> {
    let prologue = prologue(name);
    secrets.all().iter().find_map(|secret| respond(builder(&prologue, secret).ok()?, secret, first))
}

impl Opening {
    /// Ends the handshake. `None`: the other side has not the same secret, or another hive's name.
    pub(super) fn finish(mut self, answer: &[u8; SEAL_LEN]) -> Option<Sealed> {
        self.noise.read_message(answer, &mut []).ok()?;
        let seal = Seal::new(self.noise.into_transport_mode().ok()?);
        Some(Sealed { secret: self.secret, seal })
    }
}

/// The keys of a sealed connection. Both directions share it, and neither waits for the other.
pub(super) struct Seal(Mutex<TransportState>);

impl Seal {
    fn new(noise: TransportState) -> Seal {
        Seal(Mutex::new(noise))
    }

    /// Never held across an await.
    fn noise(&self) -> MutexGuard<'_, TransportState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the records of some bytes. Without bytes it is the record that says: no more comes.
    ///
    /// # Errors
    /// All 2^64 numbers of records are used up.
    pub(super) fn pack(&self, content: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let mut rest = content;
        loop {
            let (now, later) = rest.split_at(rest.len().min(MAX_CONTENT));
            self.pack_one(now, out)?;
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn pack_one(&self, content: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let len = (content.len() + TAG_LEN) as u16;
        out.extend_from_slice(&len.to_be_bytes());
        let start = out.len();
        out.resize(start + usize::from(len), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let mut noise = self.noise();
        noise.write_message(content, room).map_err(|_| SealError::Forged)?;
        if noise.sending_nonce().is_multiple_of(REKEY_EVERY) {
            noise.rekey_outgoing();
        }
        Ok(())
    }

    /// Opens one record without its length, and appends its content. How long that is.
    ///
    /// # Errors
    /// [`SealError::Forged`]; `out` is as it was.
    pub(super) fn unpack(&self, record: &[u8], out: &mut BytesMut) -> Result<usize, SealError> {
        let start = out.len();
        let len = record.len().checked_sub(TAG_LEN).ok_or(SealError::Forged)?;
        out.resize(start + len, 0);
        let mut noise = self.noise();
        let room = out.get_mut(start..).unwrap_or_default();
        if noise.read_message(record, room).is_err() {
            out.truncate(start);
            return Err(SealError::Forged);
        }
        if noise.receiving_nonce().is_multiple_of(REKEY_EVERY) {
            noise.rekey_incoming();
        }
        Ok(len)
    }

    /// Opens every whole record of `sealed`, takes it off, and appends what was in it. Whether the
    /// record without content came, behind which there is nothing.
    ///
    /// # Errors
    /// [`SealError`]; what was opened before it stands.
    pub(super) fn unpack_all(
        &self,
        sealed: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<bool, SealError> {
        while let Some((length, rest)) = sealed.split_first_chunk::<LENGTH_LEN>() {
            let len = usize::from(u16::from_be_bytes(*length));
            if len < TAG_LEN {
                return Err(SealError::Forged);
            }
            let Some(record) = rest.get(..len) else { break };
            let content = self.unpack(record, out)?;
            sealed.advance(LENGTH_LEN + len);
            if content == 0 {
                return if sealed.is_empty() { Ok(true) } else { Err(SealError::BehindEnd) };
            }
        }
        Ok(false)
    }
}

/// What both sides must agree on beside the secret.
fn prologue(name: &str) -> Vec<u8> {
    [PROLOGUE, &[MAJOR], name.as_bytes()].concat()
}

fn builder<'a>(prologue: &'a [u8], secret: &'a Secret) -> Result<Builder<'a>, snow::Error> {
    Builder::new(PATTERN.parse()?).prologue(prologue)?.psk(0, secret.peer_key())
}

fn begin(builder: Builder<'_>, secret: &Secret) -> Result<(Opening, [u8; SEAL_LEN]), snow::Error> {
    let mut noise = builder.build_initiator()?;
    let mut first = [0; SEAL_LEN];
    noise.write_message(&[], &mut first)?;
    Ok((Opening { noise, secret: secret.clone() }, first))
}

fn respond(
    builder: Builder<'_>,
    secret: &Secret,
    first: &[u8; SEAL_LEN],
) -> Option<(Sealed, [u8; SEAL_LEN])> {
    let mut noise = builder.build_responder().ok()?;
    noise.read_message(first, &mut []).ok()?;
    let mut answer = [0; SEAL_LEN];
    noise.write_message(&[], &mut answer).ok()?;
    let seal = Seal::new(noise.into_transport_mode().ok()?);
    Some((Sealed { secret: secret.clone(), seal }, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "cache-peers.prod.svc.cluster.local.";
    const SECRET: &str = "an-example-and-no-secret";

    fn secret() -> Secret {
        let secrets = Secrets::parse(SECRET).expect("a secret");
        secrets.first().expect("one").clone()
    }

    /// Both ends of a connection.
    fn pair() -> (Seal, Seal) {
        let (opening, first) = open(NAME, &secret()).expect("random numbers");
        let secrets = Secrets::parse(SECRET).expect("a secret");
        let (there, answer) = answer(NAME, &secrets, &first).expect("the same secret");
        (opening.finish(&answer).expect("the same secret").seal, there.seal)
    }

    /// Everything that is in these records, and whether the end was among them.
    fn opened(seal: &Seal, sealed: &[u8]) -> Result<(Vec<u8>, bool), SealError> {
        let (mut sealed, mut out) = (BytesMut::from(sealed), BytesMut::new());
        let ended = seal.unpack_all(&mut sealed, &mut out)?;
        assert!(sealed.is_empty(), "{} bytes are left", sealed.len());
        Ok((out.to_vec(), ended))
    }

    fn packed(seal: &Seal, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal.pack(content, &mut out).expect("packed");
        out
    }

    /// The second column of a golden file.
    fn golden(text: &str) -> Vec<u8> {
        let column = text.lines().filter_map(|line| line.split_whitespace().nth(1));
        let digits: String = column.collect();
        let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
        (0..digits.len()).step_by(2).map(pair).collect()
    }

    #[test]
    fn the_golden_handshake_and_records_are_these_bytes() {
        let secret = secret();
        let prologue = prologue(NAME);
        let with_key = |key: &'static [u8; 32]| {
            builder(&prologue, &secret).unwrap().fixed_ephemeral_key_for_testing_only(key)
        };
        let hello = golden(include_str!("../../proto/vectors/hello.txt"));
        let (opening, first) = begin(with_key(&[1; 32]), &secret).unwrap();
        assert_eq!(first[..], golden(include_str!("../../proto/vectors/seal.txt"))[8..]);
        let (there, answer) = respond(with_key(&[2; 32]), &secret, &first).expect("an answer");
        assert_eq!(answer[..], golden(include_str!("../../proto/vectors/sealed.txt"))[8..]);
        let here = opening.finish(&answer).expect("the end").seal;
        let record = golden(include_str!("../../proto/vectors/record-hello.txt"));
        assert_eq!(packed(&here, &hello), record);
        assert_eq!(opened(&there.seal, &record), Ok((hello, false)));
        let end = golden(include_str!("../../proto/vectors/record-end.txt"));
        assert_eq!(packed(&here, &[]), end);
        assert_eq!(opened(&there.seal, &end), Ok((vec![], true)));
    }

    #[test]
    fn long_bytes_are_split_and_come_together_again() {
        let (here, there) = pair();
        for len in [1, 2, MAX_CONTENT - 1, MAX_CONTENT, MAX_CONTENT + 1, 3 * MAX_CONTENT] {
            let content: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let sealed = packed(&here, &content);
            let records = len.div_ceil(MAX_CONTENT);
            assert_eq!(sealed.len(), len + records * (LENGTH_LEN + TAG_LEN));
            assert_eq!(opened(&there, &sealed), Ok((content, false)), "{len} bytes");
        }
    }

    #[test]
    fn a_record_that_is_not_whole_waits() {
        let (here, there) = pair();
        let sealed = packed(&here, b"frame");
        let (mut some, mut out) = (BytesMut::new(), BytesMut::new());
        for byte in &sealed[..sealed.len() - 1] {
            some.extend_from_slice(&[*byte]);
            assert_eq!(there.unpack_all(&mut some, &mut out), Ok(false));
            assert!(out.is_empty());
        }
        some.extend_from_slice(&sealed[sealed.len() - 1..]);
        assert_eq!(there.unpack_all(&mut some, &mut out), Ok(false));
        assert_eq!(out[..], b"frame"[..]);
    }

    /// What cannot be opened leaves nothing behind, and what is sealed for one direction is nothing
    /// in the other.
    #[test]
    fn a_forged_record_gives_nothing() {
        let (here, there) = pair();
        let sealed = packed(&here, b"frame");
        assert_eq!(opened(&here, &sealed), Err(SealError::Forged));
        let mut bad = sealed.clone();
        bad[5] ^= 1;
        let mut out = BytesMut::from(&b"before"[..]);
        assert_eq!(there.unpack(&bad[LENGTH_LEN..], &mut out), Err(SealError::Forged));
        assert_eq!(out[..], b"before"[..]);
        assert_eq!(opened(&there, &sealed).map(|it| it.0), Ok(b"frame".to_vec()));
        assert_eq!(opened(&there, &sealed), Err(SealError::Forged), "the same again");
        assert_eq!(there.unpack(b"short", &mut out), Err(SealError::Forged));
    }

    /// Noise's own transport follows only if it changes its key at the same record.
    #[test]
    fn each_direction_gets_a_new_key_after_65536_records() {
        let (here, there) = pair();
        let mut sealed = Vec::new();
        for (from, to) in [(&here, &there), (&there, &here)] {
            for number in 1..=REKEY_EVERY + 1 {
                sealed.clear();
                from.pack(b"x", &mut sealed).expect("packed");
                let record = &sealed[LENGTH_LEN..];
                let mut content = [0; 1];
                let mut noise = to.noise();
                if number == REKEY_EVERY + 1 {
                    assert!(noise.read_message(record, &mut content).is_err(), "the old key");
                    noise.rekey_incoming();
                }
                assert_eq!(noise.read_message(record, &mut content), Ok(1), "record {number}");
            }
        }
    }
}
