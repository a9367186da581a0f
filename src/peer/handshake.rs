//! The hello in both directions. The dialler speaks first.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::codec::{self, CodecError, HEADER_LEN, Header, Hello, MAX_HELLO, kind};
use super::hub::Hub;

/// How long an accepted connection may take for its hello.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);

/// Who is at the other end.
pub(super) enum Greeting {
    /// A hive of this name and major version.
    Hive(Hello),
    /// This very hive.
    Myself,
    /// A hive of another name.
    OtherName(String),
    /// Something that is no hive of this major version.
    Malformed(CodecError),
}

/// Speaks first, then listens.
///
/// # Errors
/// The connection broke or was closed before a whole hello came.
pub(super) async fn dialled(hub: &Hub, stream: &mut TcpStream, dial: u64) -> io::Result<Greeting> {
    stream.write_all(&codec::encode_hello(&hub.hello(dial))).await?;
    let hello = read_hello(stream).await?;
    Ok(judge(hub, hello))
}

/// Listens first, then answers whoever speaks this protocol at all, so that the other side can
/// say what is wrong.
///
/// # Errors
/// The connection broke or was closed before a whole hello came.
pub(super) async fn accepted(hub: &Hub, stream: &mut TcpStream) -> io::Result<Greeting> {
    let greeting = judge(hub, read_hello(stream).await?);
    if !matches!(&greeting, Greeting::Malformed(error) if !matches!(error, CodecError::Version(_)))
    {
        stream.write_all(&codec::encode_hello(&hub.hello(0))).await?;
    }
    Ok(greeting)
}

fn judge(hub: &Hub, hello: Result<Hello, CodecError>) -> Greeting {
    match hello {
        Err(error) => Greeting::Malformed(error),
        Ok(hello) if hello.name != hub.settings.name => Greeting::OtherName(hello.name),
        Ok(hello) if hello.incarnation == hub.settings.incarnation => Greeting::Myself,
        Ok(hello) => Greeting::Hive(hello),
    }
}

async fn read_hello(stream: &mut TcpStream) -> io::Result<Result<Hello, CodecError>> {
    let mut bytes = [0; HEADER_LEN];
    stream.read_exact(&mut bytes).await?;
    let header = match Header::parse(&bytes) {
        Ok(header) if header.kind == kind::HELLO => header,
        Ok(header) => return Ok(Err(CodecError::Kind(header.kind))),
        Err(error) => return Ok(Err(error)),
    };
    let mut body = [0; MAX_HELLO];
    let Some(body) = body.get_mut(..header.len) else {
        return Ok(Err(CodecError::TooLong { len: header.len, max: MAX_HELLO }));
    };
    stream.read_exact(body).await?;
    Ok(codec::decode_hello(body))
}
