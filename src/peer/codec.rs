//! Frames to bytes and back. `proto/peer.md` is the specification, `proto/vectors/` the examples.
//!
//! Decoding never panics and never allocates more than a body may hold, whatever the bytes are.
//! Bodies are written by serde and bincode; nothing outside this file and `wire.rs` knows that.

use bincode::config::{BigEndian, Configuration, Fixint, Limit};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::form::{Wire, WireAddr};
use super::wire::*;
use crate::election::frame::{Frame, Message};
use crate::election::types::{Incarnation, NodeId};

/// The first two bytes of every frame: "RH".
pub const MAGIC: u16 = 0x5248;
/// The protocol's major version: hives of two majors do not talk.
pub const MAJOR: u8 = 1;
/// The protocol's minor version: a newer one may append fields and add kinds.
pub const MINOR: u16 = 3;
/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 8;
/// The longest body of a frame, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// The longest body of a hello, in bytes.
pub const MAX_HELLO: usize = 1024;
/// The body of a [`kind::SEAL`] and a [`kind::SEALED`], in bytes: a public key and a tag.
pub const SEAL_LEN: usize = 48;
/// The longest hive name, in bytes.
pub const MAX_NAME: usize = 255;

/// The kinds of frames, as the header states them.
pub mod kind {
    /// The first frame on a connection, in both directions.
    pub const HELLO: u8 = 0x01;
    /// The dialler's half of the Noise handshake.
    pub const SEAL: u8 = 0x02;
    /// The other half.
    pub const SEALED: u8 = 0x03;
    /// `Message::State`
    pub const STATE: u8 = 0x10;
    /// `Message::Claim`
    pub const CLAIM: u8 = 0x11;
    /// `Message::Grant`
    pub const GRANT: u8 = 0x12;
    /// `Message::Denial`
    pub const DENIAL: u8 = 0x13;
    /// `Message::Withdrawal`
    pub const WITHDRAWAL: u8 = 0x14;
    /// `Message::Order`
    pub const ORDER: u8 = 0x15;
    /// `Message::Hold`
    pub const HOLD: u8 = 0x16;
    /// `Message::Held`
    pub const HELD: u8 = 0x17;
    /// `Message::Request`
    pub const REQUEST: u8 = 0x18;
    /// `Message::Answer`, since 1.1
    pub const ANSWER: u8 = 0x19;
    /// Kinds below set a connection up and are never skipped, known or not.
    pub const FIRST_ELECTION: u8 = STATE;
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The frame does not begin with [`MAGIC`].
    #[error("no redis-hive frame: it begins with {0:#06x}")]
    Magic(u16),
    /// The frame is of another major version.
    #[error("protocol version {0}, this hive speaks {MAJOR}")]
    Version(u8),
    /// The kind is unknown, or not allowed here, and may not be skipped.
    #[error("unexpected kind of frame {0:#04x}")]
    Kind(u8),
    /// The body is longer than its kind allows.
    #[error("a body of {len} bytes, at most {max} are allowed")]
    TooLong {
        /// What the header states.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// The bytes end before the frame does.
    #[error("the frame is cut short")]
    Truncated,
    /// Bytes are left after the body, and the sender's minor version is not newer.
    #[error("{0} bytes too many after the body")]
    Trailing(usize),
    /// A value that no frame of this version holds.
    #[error("unknown {field} {tag}")]
    UnknownTag {
        /// What it should have told.
        field: &'static str,
        /// The tag found.
        tag: u8,
    },
    /// An epoch above [`crate::election::Epoch::MAX`].
    #[error("epoch {0} is out of range")]
    EpochTooHigh(u64),
    /// Another broken rule of the format.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
}

/// The first eight bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// One of [`kind`], or one of a newer version.
    pub kind: u8,
    /// Bytes of the body that follows.
    pub len: usize,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`CodecError::Magic`], [`CodecError::Version`], and [`CodecError::TooLong`] for a body that
    /// is above the limit of its kind, all before a byte of the body is needed.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Header, CodecError> {
        let [m0, m1, version, kind, l0, l1, l2, l3] = *bytes;
        let magic = u16::from_be_bytes([m0, m1]);
        if magic != MAGIC {
            return Err(CodecError::Magic(magic));
        }
        if version != MAJOR {
            return Err(CodecError::Version(version));
        }
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let max = match kind {
            kind::HELLO => MAX_HELLO,
            kind::SEAL | kind::SEALED => SEAL_LEN,
            _ => MAX_BODY,
        };
        if len > max {
            return Err(CodecError::TooLong { len, max });
        }
        Ok(Header { kind, len })
    }
}

/// Who speaks on a connection: the first frame in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender's [`MINOR`].
    pub minor: u16,
    /// Abilities of the sender, one a bit; none is defined yet. Unknown bits are ignored.
    pub abilities: u32,
    /// Which hive it belongs to; at most [`MAX_NAME`] bytes.
    pub name: String,
    /// Its identity.
    pub node: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// The dialler's count of the connections it has opened, from 1; 0 from who was dialled.
    pub dial: u64,
}

#[derive(Serialize, Deserialize)]
struct WireHello {
    minor: u16,
    abilities: u32,
    name: String,
    node: WireAddr,
    incarnation: u64,
    dial: u64,
}

type Config = Configuration<BigEndian, Fixint, Limit<MAX_BODY>>;

const CONFIG: Config =
    bincode::config::standard().with_big_endian().with_fixed_int_encoding().with_limit();

/// The bytes of a frame, header included. Lists longer than the format allows are cut.
pub fn encode(frame: &Frame) -> Bytes {
    let head = WireHead {
        node: frame.node.pack(),
        incarnation: frame.incarnation.pack(),
        number: frame.number,
    };
    match &frame.message {
        Message::State(state) => {
            write::<(WireHead, WireState)>(kind::STATE, 1024, &(head, state.pack()))
        }
        Message::Claim(it) => write::<(_, WireClaim)>(kind::CLAIM, 512, &(head, it.pack())),
        Message::Grant(it) => write::<(_, WireGrant)>(kind::GRANT, 256, &(head, it.pack())),
        Message::Denial(it) => write::<(_, WireDenial)>(kind::DENIAL, 256, &(head, it.pack())),
        Message::Withdrawal(it) => {
            write::<(_, WireWithdrawal)>(kind::WITHDRAWAL, 80, &(head, it.pack()))
        }
        Message::Order(it) => write::<(_, WireOrder)>(kind::ORDER, 256, &(head, it.pack())),
        Message::Hold(it) => write::<(_, WireHold)>(kind::HOLD, 64, &(head, it.pack())),
        Message::Held(it) => write::<(_, WireHeld)>(kind::HELD, 64, &(head, it.pack())),
        Message::Request(it) => write::<(_, WireRequest)>(kind::REQUEST, 80, &(head, it.pack())),
        Message::Answer(it) => write::<(_, WireAnswer)>(kind::ANSWER, 128, &(head, it.pack())),
    }
}

/// Reads one whole frame of this very version, header included.
///
/// # Errors
/// Any [`CodecError`]; the bytes are to be thrown away.
pub fn decode_frame(bytes: &[u8]) -> Result<Frame, CodecError> {
    let (header, body) = bytes.split_first_chunk().ok_or(CodecError::Truncated)?;
    let header = Header::parse(header)?;
    if body.len() < header.len {
        return Err(CodecError::Truncated);
    }
    let body = body.get(..header.len).ok_or(CodecError::Truncated)?;
    let rest = bytes.len() - HEADER_LEN - header.len;
    if rest > 0 {
        return Err(CodecError::Trailing(rest));
    }
    decode_body(header.kind, body, MINOR)?.ok_or(CodecError::Kind(header.kind))
}

/// Reads the body of an election frame from a hive of minor version `minor`.
///
/// `None` means: from a newer version, and nothing this one understands; go on with the next frame.
///
/// # Errors
/// Any [`CodecError`]; the link must be closed.
pub fn decode_body(kind: u8, body: &[u8], minor: u16) -> Result<Option<Frame>, CodecError> {
    let newer = minor > MINOR;
    let unsaid = if kind == kind::STATE { unsaid_in_state(minor) } else { &[] };
    let completed = (!unsaid.is_empty()).then(|| [body, unsaid].concat());
    let body = completed.as_deref().unwrap_or(body);
    match read_message(kind, body, newer) {
        Ok(frame) => Ok(Some(frame)),
        Err(CodecError::Kind(_)) if newer && kind >= kind::FIRST_ELECTION => Ok(None),
        Err(CodecError::UnknownTag { .. }) if newer => Ok(None),
        Err(error) => Err(error),
    }
}

/// What an older hive leaves out at the end of a state: `reach` came with 1.1, `clock` and `version`
/// with 1.2, `troubles` with 1.3. All are 0 where they are not said.
fn unsaid_in_state(minor: u16) -> &'static [u8] {
    match minor {
        0 => &[0; 2 + 8 + 6 + 4],
        1 => &[0; 8 + 6 + 4],
        2 => &[0; 4],
        _ => &[],
    }
}

/// The bytes of a hello, header included. A name that is too long is cut, and then fits no hive.
pub fn encode_hello(hello: &Hello) -> Bytes {
    let name = hello.name.get(..hello.name.len().min(MAX_NAME)).unwrap_or_default();
    let form = WireHello {
        minor: hello.minor,
        abilities: hello.abilities,
        name: name.to_owned(),
        node: hello.node.pack(),
        incarnation: hello.incarnation.0,
        dial: hello.dial,
    };
    write(kind::HELLO, 128, &form)
}

/// A frame of the Noise handshake, header included.
pub fn encode_seal(kind: u8, body: &[u8; SEAL_LEN]) -> [u8; HEADER_LEN + SEAL_LEN] {
    let mut frame = [0; HEADER_LEN + SEAL_LEN];
    let (header, rest) = frame.split_at_mut(HEADER_LEN);
    let [m0, m1] = MAGIC.to_be_bytes();
    let [l0, l1, l2, l3] = (SEAL_LEN as u32).to_be_bytes();
    header.copy_from_slice(&[m0, m1, MAJOR, kind, l0, l1, l2, l3]);
    rest.copy_from_slice(body);
    frame
}

/// Reads the body of a hello.
///
/// # Errors
/// Any [`CodecError`]; the connection must be closed.
pub fn decode_hello(body: &[u8]) -> Result<Hello, CodecError> {
    if body.len() > MAX_HELLO {
        return Err(CodecError::TooLong { len: body.len(), max: MAX_HELLO });
    }
    let (form, rest) = read::<WireHello>(body)?;
    let newer = form.minor > MINOR;
    if rest > 0 && !newer {
        return Err(CodecError::Trailing(rest));
    }
    if form.name.len() > MAX_NAME {
        return Err(CodecError::Malformed("the name is too long"));
    }
    Ok(Hello {
        minor: form.minor,
        abilities: form.abilities,
        name: form.name,
        node: NodeId::unpack(form.node)?,
        incarnation: Incarnation(form.incarnation),
        dial: form.dial,
    })
}

fn read_message(kind: u8, body: &[u8], newer: bool) -> Result<Frame, CodecError> {
    match kind {
        kind::STATE => {
            read_frame::<WireState, _>(body, newer, |it| Ok(Message::State(Box::new(it.of()?))))
        }
        kind::CLAIM => read_frame::<WireClaim, _>(body, newer, |it| Ok(Message::Claim(it.of()?))),
        kind::GRANT => read_frame::<WireGrant, _>(body, newer, |it| Ok(Message::Grant(it.of()?))),
        kind::DENIAL => {
            read_frame::<WireDenial, _>(body, newer, |it| Ok(Message::Denial(it.of()?)))
        }
        kind::WITHDRAWAL => {
            read_frame::<WireWithdrawal, _>(body, newer, |it| Ok(Message::Withdrawal(it.of()?)))
        }
        kind::ORDER => read_frame::<WireOrder, _>(body, newer, |it| Ok(Message::Order(it.of()?))),
        kind::HOLD => read_frame::<WireHold, _>(body, newer, |it| Ok(Message::Hold(it.of()?))),
        kind::HELD => read_frame::<WireHeld, _>(body, newer, |it| Ok(Message::Held(it.of()?))),
        kind::REQUEST => {
            read_frame::<WireRequest, _>(body, newer, |it| Ok(Message::Request(it.of()?)))
        }
        kind::ANSWER => {
            read_frame::<WireAnswer, _>(body, newer, |it| Ok(Message::Answer(it.of()?)))
        }
        _ => Err(CodecError::Kind(kind)),
    }
}

/// `form.of()` is the value that travelled as `form`.
trait Of: Sized {
    fn of<T: Wire<Self>>(self) -> Result<T, CodecError> {
        T::unpack(self)
    }
}

impl<F> Of for F {}

fn read_frame<F, M>(body: &[u8], newer: bool, message: M) -> Result<Frame, CodecError>
where
    F: DeserializeOwned,
    M: FnOnce(F) -> Result<Message, CodecError>,
{
    let ((head, form), rest) = read::<(WireHead, F)>(body)?;
    if rest > 0 && !newer {
        return Err(CodecError::Trailing(rest));
    }
    Ok(Frame {
        node: NodeId::unpack(head.node)?,
        incarnation: Incarnation(head.incarnation),
        number: head.number,
        message: message(form)?,
    })
}

/// A form from the beginning of a body, and how many bytes are left behind it.
fn read<F: DeserializeOwned>(body: &[u8]) -> Result<(F, usize), CodecError> {
    match bincode::serde::decode_from_slice::<F, Config>(body, CONFIG) {
        Ok((form, used)) => Ok((form, body.len().saturating_sub(used))),
        Err(DecodeError::UnexpectedEnd { .. }) => Err(CodecError::Truncated),
        Err(DecodeError::LimitExceeded) => {
            Err(CodecError::Malformed("a length is beyond its limit"))
        }
        Err(DecodeError::OtherString(_)) => Err(CodecError::Malformed("a list is too long")),
        Err(DecodeError::Utf8 { .. }) => Err(CodecError::Malformed("a text is not UTF-8")),
        Err(_) => Err(CodecError::Malformed("a yes or no, or an option, is neither 0 nor 1")),
    }
}

struct Sink(Vec<u8>);

impl Writer for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn write<F: Serialize>(kind: u8, room: usize, form: &F) -> Bytes {
    let mut sink = Sink(Vec::with_capacity(room));
    sink.0.extend_from_slice(&MAGIC.to_be_bytes());
    sink.0.extend_from_slice(&[MAJOR, kind, 0, 0, 0, 0]);
    // Memory takes every write, and the forms have no value that bincode refuses.
    let written = bincode::serde::encode_into_writer(form, &mut sink, CONFIG);
    debug_assert!(written.is_ok(), "encoding failed: {written:?}");
    let len = (sink.0.len() - HEADER_LEN) as u32;
    if let Some(place) = sink.0.get_mut(4..HEADER_LEN) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    Bytes::from(sink.0)
}
