//! What people ask a hive to do: `POST /switchover`, `/pause`, `/resume`.
//!
//! Who asks must send the hive's secret as a bearer. Where there is none, only who is in the pod may
//! ask: the connection must have come to a loopback address. A page in somebody's browser could reach
//! such an address too; it sends an `Origin`.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::Answer;
use super::serve::Visit;
use crate::election::{Ask, Verdict};
use crate::secrets::{Keyring, Secrets};

/// So long the hive may take to say what became of it.
const DEADLINE: Duration = Duration::from_secs(15);
/// The body must have come within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_MAX_BYTES: usize = 4096;
/// How often the log tells of requests without the secret.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

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

/// The way in for those who may ask.
#[derive(Clone)]
pub(super) struct Door {
    asks: mpsc::Sender<Asked>,
    keyring: Keyring,
    /// Requests with a wrong secret that no line was written for yet, and when the last one was.
    refused: Arc<Mutex<(u64, Option<Instant>)>>,
}

impl Door {
    pub fn new(asks: mpsc::Sender<Asked>, keyring: Keyring) -> Door {
        Door { asks, keyring, refused: Arc::default() }
    }

    /// Passes a question on and waits for what becomes of it.
    pub async fn answer(&self, visit: &Visit, request: Request<Incoming>) -> Answer {
        if let Err((code, why)) = admit(visit.local, request.headers(), &self.keyring.secrets()) {
            if code == StatusCode::UNAUTHORIZED {
                self.complain(visit);
            }
            return refused(code, &why);
        }
        let ask = match request.uri().path() {
            "/pause" => Ask::Pause,
            "/resume" => Ask::Resume,
            _ => match successor(request).await {
                Ok(to) => Ask::Switchover { to },
                Err((code, why)) => return refused(code, &why),
            },
        };
        let _waiting = visit.wait();
        self.pass_on(ask).await
    }

    async fn pass_on(&self, ask: Ask) -> Answer {
        let (told, answer) = oneshot::channel();
        match self.asks.try_send(Asked { ask, told }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                let why = "too many questions wait: ask again";
                return refused(StatusCode::SERVICE_UNAVAILABLE, why);
            }
            Err(TrySendError::Closed(_)) => {
                return refused(StatusCode::SERVICE_UNAVAILABLE, "this hive is ending");
            }
        }
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(told)) => outcome(code(told.verdict), word(told.verdict), &told.text),
            Ok(Err(_)) => {
                refused(StatusCode::SERVICE_UNAVAILABLE, "this hive took no more questions")
            }
            Err(_) => {
                let seconds = DEADLINE.as_secs();
                let text = format!("nothing was heard of it within {seconds} s: see /status");
                outcome(StatusCode::GATEWAY_TIMEOUT, word(Verdict::Failed), &text)
            }
        }
    }

    /// A line in the log about a request without the secret; at most one a minute.
    fn complain(&self, visit: &Visit) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, told) = &mut *refused;
        *count += 1;
        if told.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            let from = visit.remote.map_or_else(String::new, |ip| ip.to_canonical().to_string());
            tracing::warn!(count, from, "asked over HTTP to change something, without the secret");
            (*count, *told) = (0, Some(Instant::now()));
        }
    }
}

/// Who may ask, or how the refusal is answered.
fn admit(
    local: Option<SocketAddr>,
    headers: &HeaderMap,
    secrets: &Secrets,
) -> Result<(), (StatusCode, String)> {
    let why = if headers.contains_key(ORIGIN) {
        "a request with an Origin comes from a web page: not taken"
    } else if !secrets.is_empty() {
        if bearer(headers).is_some_and(|bearer| secrets.accepts(bearer)) {
            return Ok(());
        }
        let why = "this hive has a secret, and the request must bring it (Authorization: Bearer): \
                   give redis-hive the same --secret-file or HIVE_SECRET";
        return Err((StatusCode::UNAUTHORIZED, why.to_owned()));
    } else if local.is_some_and(|local| local.ip().to_canonical().is_loopback()) {
        return Ok(());
    } else {
        "without a secret this is taken on a loopback address only: run redis-hive in the pod \
         itself (kubectl exec), or forward the port to it (kubectl port-forward)"
    };
    Err((StatusCode::FORBIDDEN, why.to_owned()))
}

/// What the only `Authorization` of a request bears.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, bearer) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(bearer.trim())
}

/// `to` of the query or of the body.
async fn successor(request: Request<Incoming>) -> Result<Option<IpAddr>, (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let asked = request.uri().query().unwrap_or_default().split('&');
    let asked = asked.filter_map(|pair| pair.strip_prefix("to=")).next();
    // The only character of an address that some programs encode.
    let asked = asked.map(|to| to.replace("%3A", ":").replace("%3a", ":"));
    let wished = wish(&body(request).await?).map_err(bad)?.to;
    if let (Some(asked), Some(wished)) = (&asked, &wished)
        && asked != wished
    {
        return Err(bad("the query and the body name two successors".to_owned()));
    }
    let Some(to) = asked.or(wished).filter(|to| !to.is_empty()) else { return Ok(None) };
    match to.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => Ok(Some(ip.to_canonical())),
        Err(_) => Err(bad(format!("to: '{to}' is no IP address"))),
    }
}

/// A small body that comes in time. One that says it is larger is not waited for.
async fn body(request: Request<Incoming>) -> Result<Bytes, (StatusCode, String)> {
    let too_long = || {
        let why = format!("the body is longer than {BODY_MAX_BYTES} bytes");
        Err((StatusCode::PAYLOAD_TOO_LARGE, why))
    };
    let body = request.into_body();
    if body.size_hint().lower() > BODY_MAX_BYTES as u64 {
        return too_long();
    }
    let reading = Limited::new(body, BODY_MAX_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_long(),
        Ok(Err(error)) => {
            Err((StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}")))
        }
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())),
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
    let mut answer = outcome(code, "refused", text);
    if code == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn outcome(code: StatusCode, verdict: &str, text: &str) -> Answer {
    super::json(code, &Outcome { verdict: verdict.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "the-secret-of-this-test";

    fn admitted(local: &str) -> bool {
        admit(local.parse().ok(), &HeaderMap::new(), &Secrets::default()).is_ok()
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

    fn with(lines: &[&str]) -> Result<(), StatusCode> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_str(line).expect("a value"));
        }
        let secrets = Secrets::parse(SECRET).expect("a secret");
        let local = "127.0.0.1:6391".parse().ok();
        admit(local, &headers, &secrets).map_err(|(code, _)| code)
    }

    #[test]
    fn with_a_secret_it_alone_counts() {
        let right = format!("Bearer {SECRET}");
        assert_eq!(with(&[&right]), Ok(()));
        assert_eq!(with(&[&format!("bearer  {SECRET}")]), Ok(()));
        let wrong: [&[&str]; 7] = [
            &[],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &[SECRET],
            &[&format!("Basic {SECRET}")],
            &[&right, &right],
        ];
        for lines in wrong {
            assert_eq!(with(lines), Err(StatusCode::UNAUTHORIZED), "{lines:?}");
        }
        assert_eq!(with(&[&right[..right.len() - 1]]), Err(StatusCode::UNAUTHORIZED));
    }
}
