//! Who is there: with a secret the proof of it, then the hello, each in both directions. The
//! dialler speaks first.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::codec::{
    self, CodecError, HEADER_LEN, Header, Hello, MAX_HELLO, SEAL_LEN, encode_seal, kind,
};
use super::hub::Hub;
use super::seal::{self, LENGTH_LEN, Sealed, TAG_LEN};
use crate::secrets::{Secret, Secrets};

/// How long an accepted connection may take for all of it.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);
/// The longest record of a hello, in bytes.
const MAX_HELLO_RECORD: usize = HEADER_LEN + MAX_HELLO + TAG_LEN;

/// Who is at the other end.
pub(super) enum Greeting {
    /// A hive of this name and major version, with the same secret if this one has any.
    Hive(Hello, Option<Sealed>),
    /// This very hive.
    Myself,
    /// A hive of another name.
    OtherName(String),
    /// Something that is no hive of this major version.
    Malformed(CodecError),
    /// It has a secret, this hive has none.
    HasSecret,
    /// This hive has a secret, and it has none.
    NoSecret,
    /// It has another secret, another name, or another major version.
    WrongSecret,
    /// It cannot go on with the handshake it began: a replay.
    Forged,
}

/// Speaks first, then listens.
///
/// # Errors
/// The connection broke or was closed before a whole hello came.
pub(super) async fn dialled(hub: &Hub, stream: &mut TcpStream, dial: u64) -> io::Result<Greeting> {
    let sealed = match hub.settings.keyring.secrets().first() {
        None => None,
        Some(secret) => match prove(hub, stream, secret).await? {
            Ok(sealed) => Some(sealed),
            Err(refused) => return Ok(refused),
        },
    };
    say_hello(hub, stream, sealed.as_ref(), dial).await?;
    let hello = match &sealed {
        None => {
            let header = read_header(stream).await?;
            plain_hello(stream, header).await?
        }
        Some(sealed) => sealed_hello(stream, sealed).await?,
    };
    Ok(judge(hub, hello, sealed))
}

/// Listens first, then answers whoever speaks this protocol at all, so that the other side can
/// say what is wrong. A hive with a secret answers nobody who has not proven it.
///
/// # Errors
/// The connection broke or was closed before a whole hello came.
pub(super) async fn accepted(hub: &Hub, stream: &mut TcpStream) -> io::Result<Greeting> {
    let header = read_header(stream).await?;
    let secrets = hub.settings.keyring.secrets();
    let (sealed, hello) = if secrets.is_empty() {
        (None, plain_hello(stream, header).await?)
    } else {
        match check(hub, stream, header, &secrets).await? {
            Ok(sealed) => {
                let hello = sealed_hello(stream, &sealed).await?;
                (Some(sealed), hello)
            }
            Err(refused) => return Ok(refused),
        }
    };
    if matches!(hello, Ok(_) | Err(Greeting::Malformed(CodecError::Version(_)))) {
        say_hello(hub, stream, sealed.as_ref(), 0).await?;
    }
    Ok(judge(hub, hello, sealed))
}

fn judge(hub: &Hub, hello: Result<Hello, Greeting>, sealed: Option<Sealed>) -> Greeting {
    match hello {
        Err(refused) => refused,
        Ok(hello) if hello.name != hub.settings.name => Greeting::OtherName(hello.name),
        Ok(hello) if hello.incarnation == hub.settings.incarnation => Greeting::Myself,
        Ok(hello) => Greeting::Hive(hello, sealed),
    }
}

/// The dialler's half of the Noise handshake, with the secret that is used.
async fn prove(
    hub: &Hub,
    stream: &mut TcpStream,
    secret: &Secret,
) -> io::Result<Result<Sealed, Greeting>> {
    let (opening, first) = seal::open(&hub.settings.name, secret)
        .map_err(|error| io::Error::other(error.to_string()))?;
    stream.write_all(&encode_seal(kind::SEAL, &first)).await?;
    let header = read_header(stream).await?;
    let answer = match read_seal(stream, header, kind::SEALED).await? {
        Ok(answer) => answer,
        Err(refused) => return Ok(Err(refused)),
    };
    Ok(opening.finish(&answer).ok_or(Greeting::WrongSecret))
}

/// The half of who was dialled, with any secret that is accepted.
async fn check(
    hub: &Hub,
    stream: &mut TcpStream,
    header: Result<Header, CodecError>,
    secrets: &Secrets,
) -> io::Result<Result<Sealed, Greeting>> {
    let first = match read_seal(stream, header, kind::SEAL).await? {
        Ok(first) => first,
        Err(refused) => return Ok(Err(refused)),
    };
    let Some((sealed, answer)) = seal::answer(&hub.settings.name, secrets, &first) else {
        return Ok(Err(Greeting::WrongSecret));
    };
    stream.write_all(&encode_seal(kind::SEALED, &answer)).await?;
    Ok(Ok(sealed))
}

async fn say_hello(
    hub: &Hub,
    stream: &mut TcpStream,
    sealed: Option<&Sealed>,
    dial: u64,
) -> io::Result<()> {
    let hello = codec::encode_hello(&hub.hello(dial));
    let Some(sealed) = sealed else {
        return stream.write_all(&hello).await;
    };
    let mut record = Vec::with_capacity(LENGTH_LEN + MAX_HELLO_RECORD);
    sealed.seal.pack(&hello, &mut record).map_err(io::Error::other)?;
    stream.write_all(&record).await
}

async fn read_header(stream: &mut TcpStream) -> io::Result<Result<Header, CodecError>> {
    let mut bytes = [0; HEADER_LEN];
    stream.read_exact(&mut bytes).await?;
    Ok(Header::parse(&bytes))
}

/// The rest of a frame of the Noise handshake.
async fn read_seal(
    stream: &mut TcpStream,
    header: Result<Header, CodecError>,
    wanted: u8,
) -> io::Result<Result<[u8; SEAL_LEN], Greeting>> {
    let refused = match header {
        Ok(Header { kind, len: SEAL_LEN }) if kind == wanted => {
            let mut body = [0; SEAL_LEN];
            stream.read_exact(&mut body).await?;
            return Ok(Ok(body));
        }
        Ok(Header { kind: kind::HELLO, .. }) => Greeting::NoSecret,
        Ok(header) if header.kind == wanted => Greeting::Malformed(CodecError::Truncated),
        Ok(header) => Greeting::Malformed(CodecError::Kind(header.kind)),
        Err(error) => Greeting::Malformed(error),
    };
    Ok(Err(refused))
}

/// The rest of a hello that is not sealed.
async fn plain_hello(
    stream: &mut TcpStream,
    header: Result<Header, CodecError>,
) -> io::Result<Result<Hello, Greeting>> {
    let refused = match header {
        Ok(Header { kind: kind::HELLO, len }) => {
            let mut body = [0; MAX_HELLO];
            let Some(body) = body.get_mut(..len) else {
                let error = CodecError::TooLong { len, max: MAX_HELLO };
                return Ok(Err(Greeting::Malformed(error)));
            };
            stream.read_exact(body).await?;
            return Ok(codec::decode_hello(body).map_err(Greeting::Malformed));
        }
        Ok(Header { kind: kind::SEAL, .. }) => Greeting::HasSecret,
        Ok(header) => Greeting::Malformed(CodecError::Kind(header.kind)),
        Err(error) => Greeting::Malformed(error),
    };
    Ok(Err(refused))
}

/// A record that holds a hello and nothing else.
async fn sealed_hello(
    stream: &mut TcpStream,
    sealed: &Sealed,
) -> io::Result<Result<Hello, Greeting>> {
    let mut length = [0; LENGTH_LEN];
    stream.read_exact(&mut length).await?;
    let mut record = [0; MAX_HELLO_RECORD];
    let Some(record) = record.get_mut(..usize::from(u16::from_be_bytes(length))) else {
        return Ok(Err(Greeting::Forged));
    };
    stream.read_exact(record).await?;
    let mut frame = BytesMut::new();
    if sealed.seal.unpack(record, &mut frame).is_err() {
        return Ok(Err(Greeting::Forged));
    }
    Ok(hello_of(&frame).map_err(Greeting::Malformed))
}

/// The hello that these bytes are, and nothing else.
fn hello_of(frame: &[u8]) -> Result<Hello, CodecError> {
    let (header, body) = frame.split_first_chunk().ok_or(CodecError::Truncated)?;
    let header = Header::parse(header)?;
    if header.kind != kind::HELLO {
        return Err(CodecError::Kind(header.kind));
    }
    match body.len().checked_sub(header.len) {
        Some(0) => codec::decode_hello(body),
        Some(rest) => Err(CodecError::Trailing(rest)),
        None => Err(CodecError::Truncated),
    }
}
