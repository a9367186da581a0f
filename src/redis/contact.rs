//! One question to one Redis: who is there, and of what use it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::access::Credentials;
use super::connection::{Answer, DialError, Dialer, Link};
use super::info::Info;
use crate::election::RedisView;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a question, with or without a dial before it, brought.
pub(super) enum Contact {
    Refused,
    Unreachable,
    /// It did not come to a connection.
    Failed(Answer),
    Answered(Arc<Link>, Answer),
}

impl Contact {
    /// Whether it may go better with other credentials.
    fn is_refusal(&self) -> bool {
        let (Contact::Failed(answer) | Contact::Answered(_, answer)) = self else { return false };
        matches!(answer, Answer::Denied(_) | Answer::Untrusted(_))
    }
}

/// Asks over a connection that is there.
pub(super) fn ask(link: Arc<Link>) -> BoxFuture<Contact> {
    Box::pin(async move {
        let answer = link.info().await;
        Contact::Answered(link, answer)
    })
}

/// Dials and asks, with the newest credentials, then with those before them. Where all are refused
/// the newest's refusal is what is told.
pub(super) fn contact(dialer: Dialer) -> BoxFuture<Contact> {
    Box::pin(async move {
        let mut first = None;
        for with in dialer.access.choices() {
            let contact = contact_with(&dialer, &with).await;
            if !contact.is_refusal() {
                return contact;
            }
            first.get_or_insert(contact);
        }
        first.unwrap_or(Contact::Unreachable)
    })
}

/// Dials and asks with these credentials.
pub(super) async fn contact_with(dialer: &Dialer, with: &Arc<Credentials>) -> Contact {
    match dialer.connect(with).await {
        Ok(link) => {
            let answer = dialer.introduce(&link).await;
            Contact::Answered(link, answer)
        }
        Err(DialError::Refused) => Contact::Refused,
        Err(DialError::Unreachable) => Contact::Unreachable,
        Err(DialError::Broken) => Contact::Failed(Answer::Broken),
        Err(DialError::Untrusted(reason)) => Contact::Failed(Answer::Untrusted(reason)),
    }
}

/// Dials, asks once and hangs up: what is at this address. Has no deadline of its own beyond the
/// dial's.
pub(super) async fn look(dialer: Dialer) -> RedisView {
    match contact(dialer).await {
        Contact::Refused => RedisView::Gone,
        Contact::Unreachable => RedisView::Silent,
        Contact::Failed(answer) | Contact::Answered(_, answer) => view_of(&answer).0,
    }
}

/// What an answer to `INFO` means, with the reason why it is of no use.
pub(super) fn view_of(answer: &Answer) -> (RedisView, Option<Info>, Option<String>) {
    let unfit = |reason: String| (RedisView::Unfit, None, Some(reason));
    match answer {
        Answer::Busy => (RedisView::Busy, None, Some("Redis is busy with a script.".to_owned())),
        Answer::Broken => (RedisView::Silent, None, None),
        Answer::Denied(text) => {
            unfit(format!("Redis does not accept the credentials or their rights: {text}"))
        }
        Answer::Untrusted(reason) => unfit(format!("There is no TLS with Redis: {reason}.")),
        Answer::Foreign | Answer::List(_) => unfit("What answers there is no Redis.".to_owned()),
        Answer::Error(text) => unfit(format!("Redis refuses INFO: {text}")),
        Answer::Text(text) => match Info::parse(text) {
            Err(error) => unfit(format!("This Redis cannot be used: {error}.")),
            Ok(info) if info.cluster => {
                unfit("Redis runs as a Cluster node; a hive needs a plain one.".to_owned())
            }
            Ok(info) => (RedisView::Up(info.passport), Some(info), None),
        },
    }
}
