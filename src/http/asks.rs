//! What people ask a hive to do: `POST /switchover`, `/pause`, `/resume`.
//!
//! Without a secret only who is in the pod may ask: the connection must have come to a loopback
//! address. A page in somebody's browser could reach such an address too; it sends an `Origin`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, ORIGIN};
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::Answer;
use crate::election::{Ask, Verdict};

/// So long the hive may take to say what became of it.
const DEADLINE: Duration = Duration::from_secs(15);
/// The body must have come within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_MAX_BYTES: usize = 4096;

/// A question on its way to the control loop.
#[derive(Debug)]
pub struct Asked {
    /// What is asked for.
    pub ask: Ask,
    /// Where the answer goes; closed when nobody waits for it any more.
    pub told: oneshot::Sender<Told>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// In one word.
    pub verdict: Verdict,
    /// In words, for people.
    pub text: String,
}

/// The body of every answer to a `POST`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `done`, `conflict`, `unfit`, `failed`, or `refused` by the front door.
    pub verdict: String,
    /// In words, for people.
    pub text: String,
}

/// What the body of `POST /switchover` may say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    to: Option<String>,
}

/// Whether this page is asked with `POST`.
pub(super) fn is_ask(path: &str) -> bool {
    ["/switchover", "/pause", "/resume"].contains(&path)
}

/// Passes a question on and waits for what becomes of it. `local` is this side of the connection.
pub(super) async fn answer(
    asks: &mpsc::Sender<Asked>,
    local: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Answer {
    if let Err(why) = admit(local, request.headers()) {
        return refused(StatusCode::FORBIDDEN, &why);
    }
    let ask = match request.uri().path() {
        "/pause" => Ask::Pause,
        "/resume" => Ask::Resume,
        _ => match successor(request).await {
            Ok(to) => Ask::Switchover { to },
            Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
        },
    };
    let (told, answer) = oneshot::channel();
    match asks.try_send(Asked { ask, told }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "too many questions wait: ask again");
        }
        Err(TrySendError::Closed(_)) => {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "this hive is ending");
        }
    }
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(told)) => outcome(code(told.verdict), word(told.verdict), &told.text),
        Ok(Err(_)) => refused(StatusCode::SERVICE_UNAVAILABLE, "this hive took no more questions"),
        Err(_) => {
            let seconds = DEADLINE.as_secs();
            let text = format!("nothing was heard of it within {seconds} s: see /status");
            outcome(StatusCode::GATEWAY_TIMEOUT, word(Verdict::Failed), &text)
        }
    }
}

/// Who may ask.
fn admit(local: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), String> {
    if headers.contains_key(ORIGIN) {
        return Err("a request with an Origin comes from a web page: not taken".to_owned());
    }
    if local.is_some_and(|local| local.ip().to_canonical().is_loopback()) {
        return Ok(());
    }
    Err("without a secret this is taken on a loopback address only: run redis-hive in the pod \
         itself (kubectl exec), or forward the port to it (kubectl port-forward)"
        .to_owned())
}

/// `to` of the query or of the body.
async fn successor(request: Request<Incoming>) -> Result<Option<IpAddr>, String> {
    let asked = request.uri().query().unwrap_or_default().split('&');
    let asked = asked.filter_map(|pair| pair.strip_prefix("to=")).next();
    // The only character of an address that some programs encode.
    let asked = asked.map(|to| to.replace("%3A", ":").replace("%3a", ":"));
    let body = Limited::new(request.into_body(), BODY_MAX_BYTES).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => return Err(format!("the body cannot be read: {error}")),
        Err(_) => return Err("the body did not come in time".to_owned()),
    };
    let wished = wish(&body)?.to;
    if let (Some(asked), Some(wished)) = (&asked, &wished)
        && asked != wished
    {
        return Err("the query and the body name two successors".to_owned());
    }
    let Some(to) = asked.or(wished).filter(|to| !to.is_empty()) else { return Ok(None) };
    match to.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => Ok(Some(ip.to_canonical())),
        Err(_) => Err(format!("to: '{to}' is no IP address")),
    }
}

fn wish(body: &Bytes) -> Result<Wish, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Wish::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| format!("the body is not like {{\"to\":\"10.0.0.1\"}}: {error}"))
}

fn code(verdict: Verdict) -> StatusCode {
    match verdict {
        Verdict::Done => StatusCode::OK,
        Verdict::Conflict => StatusCode::CONFLICT,
        Verdict::Unfit => StatusCode::UNPROCESSABLE_ENTITY,
        Verdict::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Done => "done",
        Verdict::Conflict => "conflict",
        Verdict::Unfit => "unfit",
        Verdict::Failed => "failed",
    }
}

fn refused(code: StatusCode, text: &str) -> Answer {
    outcome(code, "refused", text)
}

fn outcome(code: StatusCode, verdict: &str, text: &str) -> Answer {
    super::json(code, &Outcome { verdict: verdict.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(local: &str) -> bool {
        admit(local.parse().ok(), &HeaderMap::new()).is_ok()
    }

    #[test]
    fn only_a_loopback_destination_is_trusted() {
        for local in ["127.0.0.1:6391", "127.7.7.7:1", "[::1]:6391", "[::ffff:127.0.0.1]:6391"] {
            assert!(admitted(local), "{local}");
        }
        for local in ["10.0.0.1:6391", "[fd00::1]:6391", "[::ffff:10.0.0.1]:6391", "unknown"] {
            assert!(!admitted(local), "{local}");
        }
    }
}
