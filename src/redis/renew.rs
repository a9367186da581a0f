//! Brings new passwords and certificates into use: tries them on a connection of their own, then on
//! the one that stands, which is never cut for it.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::{Credentials, Used, Who};
use super::attend::Attended;
use super::connection::{Answer, Link};
use super::contact::{Contact, contact_with};
use super::keeper::{ANSWER_TIMEOUT, Charge, Keeper};
use super::settings::{MASTERAUTH_REFUSED, MASTERAUTH_SET, get_text, set, set_masterauth};

/// How long a trial may take.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How soon what was refused is tried again: the server may learn of it later.
const AGAIN: Duration = Duration::from_secs(3);
/// How often it is looked again whether what is in use still serves for a new connection, and what
/// Redis did not take is given to it again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The setting with which Redis reads all its certificates again, also where it stays the same.
const CERTIFICATE: &str = "tls-cert-file";

/// What is under way, and what was done last.
#[derive(Default)]
pub(super) struct Renewal {
    trial: Option<Trial>,
    /// What was tried last, and when.
    tried: Option<(u64, Instant)>,
    /// With which reading of the files the local Redis read its certificates again, and when.
    reloaded: Option<(u64, Instant)>,
    /// Why this run of it could not, until it can.
    unread: Option<String>,
    /// Which connection was told of, with which reading of the files and which line of it.
    noted: Option<(Weak<Link>, u64, Option<usize>)>,
    /// The number of what the local Redis logs in to its master with.
    masterauth: Option<u64>,
    /// The number of what it did not take as that, and when.
    locked_out: Option<(u64, Instant)>,
}

struct Trial {
    generation: u64,
    outcome: oneshot::Receiver<Contact>,
    _abort: DropGuard,
}

impl Renewal {
    /// Another run of the local Redis was met: it has just read its files, and was told what to log in
    /// with.
    pub fn begin_run(&mut self, masterauth: u64, locked_out: bool) {
        self.unread = None;
        self.note_masterauth(masterauth, locked_out);
    }

    /// What is wrong now, in sentences.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let locked_out = self.locked_out.map(|_| MASTERAUTH_REFUSED.to_owned());
        self.unread.clone().into_iter().chain(locked_out)
    }

    fn note_masterauth(&mut self, number: u64, locked_out: bool) {
        self.masterauth = (!locked_out).then_some(number);
        self.locked_out = locked_out.then(|| (number, Instant::now()));
    }

    fn is_masterauth_due(&self, number: u64) -> bool {
        self.masterauth != Some(number) && has_rested(self.locked_out, number, LOOK_AGAIN)
    }
}

impl Keeper {
    /// Tells what the connection that stands was opened with.
    pub(super) fn note_access(&mut self) {
        let Some(link) = self.link.clone() else { return };
        let used = link.used();
        let (this, at) = (Arc::downgrade(&link), (used.with.generation, used.line));
        let noted = self.renewal.noted.as_ref();
        if noted
            .is_some_and(|(of, generation, line)| of.ptr_eq(&this) && (*generation, *line) == at)
        {
            return;
        }
        self.dialer.access.accepted(self.who(), &self.dialer.endpoint, &used);
        self.renewal.noted = Some((this, at.0, at.1));
    }

    /// Goes on with what is new, on a Redis that has just answered. `false` when something came that
    /// cannot wait.
    pub(super) async fn renew(&mut self) -> bool {
        if let Some(tried) = self.tried_well() {
            // Also of a connection that stays as it is: what was said against it is over.
            self.renewal.noted = None;
            if self.is_better(&tried) && !self.authenticate(tried.with).await {
                return false;
            }
        }
        self.note_access();
        let trial = self.is_trial_due();
        if (trial || self.renewal.unread.is_some())
            && self.is_reload_due()
            && !self.reload_certificates().await
        {
            return false;
        }
        if trial {
            self.begin_trial();
        }
        self.renew_masterauth().await
    }

    fn who(&self) -> Who {
        match self.charge {
            Charge::Local(_) => Who::Local,
            Charge::Watched(_) => Who::Watched,
        }
    }

    fn is_trial_due(&self) -> bool {
        let newest = self.dialer.access.newest().generation;
        let Some(link) = self.link.as_ref().filter(|_| self.renewal.trial.is_none()) else {
            return false;
        };
        let rested = |span| has_rested(self.renewal.tried, newest, span);
        let used = link.used();
        if used.with.generation != newest || used.is_older() {
            return rested(AGAIN);
        }
        self.dialer.access.is_doubtful(self.who(), SystemTime::now()) && rested(LOOK_AGAIN)
    }

    fn begin_trial(&mut self) {
        let (told, outcome) = oneshot::channel();
        let mut dialer = self.dialer.clone();
        dialer.client_name = format!("{}-trial", dialer.client_name);
        let with = dialer.access.newest();
        let generation = with.generation;
        self.renewal.tried = Some((generation, Instant::now()));
        let abort = CancellationToken::new();
        let task = async move {
            let contact = timeout(TRIAL_TIMEOUT, contact_with(&dialer, &with)).await;
            // Nobody waits when another connection was opened meanwhile.
            let _ = told.send(contact.unwrap_or(Contact::Unreachable));
        };
        tokio::spawn(abort.clone().run_until_cancelled_owned(task));
        self.renewal.trial = Some(Trial { generation, outcome, _abort: abort.drop_guard() });
    }

    /// What a trial that has ended well was opened and logged in with.
    fn tried_well(&mut self) -> Option<Used> {
        let trial = self.renewal.trial.as_mut()?;
        let contact = match trial.outcome.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return None,
            ended => ended.unwrap_or(Contact::Unreachable),
        };
        let tried = self.renewal.trial.take()?.generation;
        match contact {
            Contact::Answered(link, Answer::Text(_)) => Some(link.used()),
            Contact::Failed(Answer::Denied(reason) | Answer::Untrusted(reason))
            | Contact::Answered(_, Answer::Denied(reason) | Answer::Untrusted(reason)) => {
                let link = self.link.as_ref();
                let in_use = link.is_some_and(|link| link.used().with.generation == tried);
                let endpoint = &self.dialer.endpoint;
                self.dialer.access.refused(self.who(), endpoint, &reason, in_use);
                None
            }
            // Nothing was learnt.
            Contact::Refused
            | Contact::Unreachable
            | Contact::Failed(_)
            | Contact::Answered(_, _) => None,
        }
    }

    /// Whether these files, or this line of them, are newer than what the connection that stands uses.
    fn is_better(&self, tried: &Used) -> bool {
        self.link.as_ref().is_some_and(|link| {
            let used = link.used();
            tried.with.generation != used.with.generation || tried.line < used.line
        })
    }

    /// Logs the connection that stands in anew. `false` when something came that cannot wait.
    async fn authenticate(&mut self, with: Arc<Credentials>) -> bool {
        let Some(link) = self.link.clone() else { return true };
        let log_in = async move { link.authenticate(&with).await };
        match self.attend(Instant::now() + ANSWER_TIMEOUT, Box::pin(log_in)).await {
            Attended::Done(_) | Attended::Late => true,
            Attended::Interrupted | Attended::Stop => false,
        }
    }

    /// Whether the local Redis may be asked to read its certificates again: once for each change of the
    /// hive's own files, which come with those of Redis, then now and then.
    fn is_reload_due(&self) -> bool {
        let access = &self.dialer.access;
        matches!(self.charge, Charge::Local(_))
            && access.uses_tls()
            && has_rested(self.renewal.reloaded, access.newest().generation, LOOK_AGAIN)
    }

    /// Lets Redis read its certificates again: it does not look at its files by itself. `false` when
    /// something came that cannot wait.
    async fn reload_certificates(&mut self) -> bool {
        let Some(link) = self.link.clone() else { return true };
        let reload = async move {
            let name = get_text(&link, CERTIFICATE).await.filter(|name| !name.is_empty())?;
            set(&link, CERTIFICATE, &name).await
        };
        match self.attend(Instant::now() + ANSWER_TIMEOUT, Box::pin(reload)).await {
            Attended::Done(outcome) => {
                let generation = self.dialer.access.newest().generation;
                self.renewal.reloaded = Some((generation, Instant::now()));
                if let Some(outcome) = outcome {
                    let told =
                        |text| format!("Redis could not read its certificates again: {text}");
                    self.renewal.unread = outcome.err().map(told);
                }
                true
            }
            Attended::Late => true,
            Attended::Interrupted | Attended::Stop => false,
        }
    }

    /// Sets what the local Redis logs in to its master with, when that has changed. `false` when
    /// something came that cannot wait.
    async fn renew_masterauth(&mut self) -> bool {
        let (number, password) = self.dialer.access.replication();
        let (Charge::Local(_), Some(link)) = (&self.charge, self.link.clone()) else { return true };
        let Some(password) = password.filter(|_| self.renewal.is_masterauth_due(number)) else {
            return true;
        };
        let renew = async move { set_masterauth(&link, &password).await };
        match self.attend(Instant::now() + ANSWER_TIMEOUT, Box::pin(renew)).await {
            Attended::Done(Some(outcome)) => {
                self.renewal.note_masterauth(number, outcome.is_err());
                if let Ok(true) = outcome {
                    self.board.changed(MASTERAUTH_SET.to_owned());
                }
                true
            }
            Attended::Done(None) | Attended::Late => true,
            Attended::Interrupted | Attended::Stop => false,
        }
    }
}

/// Whether this was not done yet for the newest reading of the files, or not for so long.
fn has_rested(done: Option<(u64, Instant)>, newest: u64, span: Duration) -> bool {
    done.is_none_or(|(generation, at)| generation != newest || at.elapsed() >= span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_did_not_take_is_given_again_after_a_rest() {
        let mut renewal = Renewal::default();
        assert!(renewal.is_masterauth_due(1));
        renewal.begin_run(1, true);
        assert_eq!(renewal.problems().collect::<Vec<_>>(), [MASTERAUTH_REFUSED]);
        assert!(!renewal.is_masterauth_due(1) && renewal.is_masterauth_due(2), "a new one at once");
        renewal.locked_out = Instant::now().checked_sub(LOOK_AGAIN).map(|then| (1, then));
        assert!(renewal.is_masterauth_due(1));
        renewal.note_masterauth(1, false);
        assert!(!renewal.is_masterauth_due(1) && renewal.problems().next().is_none());
    }
}
