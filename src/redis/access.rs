//! How a hive proves itself to Redis servers: user, passwords and certificates, read from their files
//! again while it runs.
//!
//! A change goes in two steps. Every new connection tries the **newest** set first. The set that was
//! in use before stays beside it, for servers that do not accept the newest yet, until the local Redis
//! and the watched master have accepted the newest; then it is forgotten. Of several passwords in one
//! file only the first counts as accepted. What replicas log in with (`masterauth`) is what the master
//! accepted.

mod ages;
mod credentials;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::time::Instant;

pub use ages::AccessAges;
pub use credentials::{AccessSettings, Password, TlsFiles, first_password};
pub(super) use credentials::{Credentials, Used};

use super::certificate::Validity;
use super::connection::Endpoint;
use super::tls::AccessError;
use crate::secrets::reading::{READ_EVERY, keep_reading};

/// Of which server something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// The local Redis.
    Local,
    /// The watched master.
    Watched,
}

/// What is shown to Redis servers. Clones share it.
#[derive(Clone)]
pub struct Access {
    settings: Arc<AccessSettings>,
    state: watch::Sender<State>,
    /// Reading the files ends with the last of these.
    _alive: watch::Receiver<State>,
}

struct State {
    newest: Arc<Credentials>,
    /// Since when that is so.
    changed_at: Instant,
    /// When the files were read last and could be used.
    read_at: Instant,
    /// What was in use before, until the newest has been accepted by all that are needed.
    proven: Option<Arc<Credentials>>,
    /// Whose word counts.
    needed: BTreeSet<Who>,
    /// Who has accepted the newest.
    met: BTreeSet<Who>,
    /// What the master accepts, and how often that has changed.
    replication: (u64, Option<SecretString>),
    /// What was wrong with the files when they were read last. A swap may come between two of them,
    /// so it counts when it is found twice.
    suspected: Option<Vec<AccessError>>,
    broken: Vec<AccessError>,
    /// What servers do not accept, in sentences.
    doubts: BTreeMap<Who, Doubt>,
    /// The certificates that servers have shown.
    shown: BTreeMap<Who, (Endpoint, Validity)>,
}

/// What a server does not accept.
#[derive(PartialEq, Eq)]
struct Doubt {
    sentence: String,
    /// Something new, beside which what was there before is still used.
    is_new: bool,
}

impl Access {
    /// Reads everything for the first time.
    ///
    /// # Errors
    ///
    /// All that is wrong with the files.
    pub fn open(settings: AccessSettings) -> Result<Access, Vec<AccessError>> {
        let newest = Arc::new(Credentials::read(&settings)?);
        let now = Instant::now();
        let state = State {
            newest,
            changed_at: now,
            read_at: now,
            proven: None,
            needed: BTreeSet::new(),
            met: BTreeSet::new(),
            replication: (0, None),
            suspected: None,
            broken: Vec::new(),
            doubts: BTreeMap::new(),
            shown: BTreeMap::new(),
        };
        let (state, _alive) = watch::channel(state);
        Ok(Access { settings: Arc::new(settings), state, _alive })
    }

    /// No TLS, and what is given never changes.
    pub fn fixed(username: Option<String>, password: Option<SecretString>) -> Access {
        let password = password.map_or(Password::None, Password::Given);
        let settings = AccessSettings { username, password, tls: None };
        // Nothing is read, so nothing can be wrong with it.
        Access::open(settings).unwrap_or_else(|_| Access::none())
    }

    /// Neither a password nor TLS.
    pub fn none() -> Access {
        Access::fixed(None, None)
    }

    /// Whether servers are talked to over TLS.
    pub fn uses_tls(&self) -> bool {
        self.settings.tls.is_some()
    }

    /// Whether there is something to log in with.
    pub fn has_password(&self) -> bool {
        !self.newest().passwords.is_empty()
    }

    /// The ACL user; `None`: the default one.
    pub(super) fn username(&self) -> Option<&str> {
        self.settings.username.as_deref()
    }

    /// What is wrong with the files, what servers do not accept, and which certificates end soon:
    /// sentences for people, without a secret.
    pub fn problems(&self, now: SystemTime) -> Vec<String> {
        let state = self.state.borrow();
        let broken = state.broken.iter().map(broken_sentence);
        let mut problems: Vec<String> =
            broken.chain(state.doubts.values().map(|doubt| doubt.sentence.clone())).collect();
        if let Some(tls) = &state.newest.tls {
            let own = [("in --redis-cert", tls.own), ("in --redis-ca that lasts longest", tls.ca)];
            let own = own.into_iter().filter_map(|(whose, validity)| Some((whose, validity?)));
            for (whose, validity) in own.filter(|(_, validity)| validity.needs_care(now)) {
                let standing = validity.standing(now);
                problems.push(format!("The certificate {whose} {standing}: put a new one there."));
            }
        }
        for (endpoint, validity) in state.shown.values().filter(|(_, it)| it.needs_care(now)) {
            let standing = validity.standing(now);
            problems.push(format!(
                "The certificate of the Redis at {endpoint} {standing}: put a new one into its \
                 tls-cert-file."
            ));
        }
        problems
    }

    /// How many changes of the files are in use; `None` while one is not accepted everywhere yet.
    pub fn settled(&self) -> Option<u64> {
        let state = self.state.borrow();
        let settled = state.proven.is_none() && state.met.is_superset(&state.needed);
        settled.then_some(state.newest.generation)
    }

    /// How long the certificate is valid that the local Redis showed; `None` without TLS.
    pub fn local_certificate(&self, now: SystemTime) -> Option<String> {
        let state = self.state.borrow();
        state.shown.get(&Who::Local).map(|(_, validity)| validity.standing(now).to_string())
    }

    /// Reads the files again and again from now on, and takes note of whose word counts. Within a
    /// tokio runtime only.
    pub(super) fn start(&self, local: bool) {
        self.need(Who::Local, local);
        if !self.settings.has_files() {
            return;
        }
        let (settings, state) = (self.settings.clone(), self.state.clone());
        let read = move || {
            let known = state.borrow().newest.clone();
            Credentials::read_again(&settings, &known)
        };
        tokio::spawn(keep_reading(READ_EVERY, self.state.clone(), read, State::take));
    }

    /// A master is watched from now on, another one than before, or none.
    pub(super) fn watching(&self, watching: bool) {
        self.need(Who::Watched, watching);
    }

    fn need(&self, who: Who, needed: bool) {
        self.state.send_modify(|state| {
            state.met.remove(&who);
            state.doubts.remove(&who);
            state.shown.remove(&who);
            if needed {
                state.needed.insert(who);
            } else {
                state.needed.remove(&who);
                state.settle();
            }
        });
    }

    /// What new connections should use.
    pub(super) fn newest(&self) -> Arc<Credentials> {
        self.state.borrow().newest.clone()
    }

    /// What new connections may use, one after the other.
    pub(super) fn choices(&self) -> Vec<Arc<Credentials>> {
        let state = self.state.borrow();
        [Some(&state.newest), state.proven.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// A server took these.
    pub(super) fn accepted(&self, who: Who, endpoint: &Endpoint, used: &Used) {
        let password = used.password();
        self.state.send_modify(|state| {
            let newest = used.with.generation == state.newest.generation;
            if newest && used.is_older() {
                state.met.remove(&who);
                state.doubt(who, Doubt { sentence: older_sentence(endpoint), is_new: true });
            } else if newest {
                state.met.insert(who);
                state.doubts.remove(&who);
                state.settle();
            }
            // A Redis whose `masterauth` appears in the middle of a handshake waits in vain for an
            // answer: before the master has spoken, the local Redis decides.
            let decides = who == Who::Watched
                || !state.needed.contains(&Who::Watched)
                || state.replication.1.is_none();
            let known = state.replication.1.as_ref().map(ExposeSecret::expose_secret);
            if decides && known != password.map(ExposeSecret::expose_secret) {
                state.replication = (state.replication.0 + 1, password.cloned());
            }
        });
    }

    /// A server refused these on a connection of their own; `in_use`: with them the one that stands was
    /// opened.
    pub(super) fn refused(&self, who: Who, endpoint: &Endpoint, reason: &str, in_use: bool) {
        let sentence = if in_use {
            format!("A new connection to the Redis at {endpoint} would fail: {reason}.")
        } else {
            format!(
                "The Redis at {endpoint} does not accept what is new in the files of \
                 --redis-password-file and --redis-cert ({reason}): what was there before is still used."
            )
        };
        let doubt = Doubt { sentence, is_new: !in_use };
        self.state.send_if_modified(|state| state.doubt(who, doubt));
    }

    /// A server showed this certificate.
    pub(super) fn shown(&self, who: Who, endpoint: &Endpoint, validity: Validity) {
        self.state.send_modify(|state| {
            state.shown.insert(who, (endpoint.clone(), validity));
        });
    }

    /// Whether a new connection to this server may fail: it refused one, or the certificate that it
    /// showed ends soon.
    pub(super) fn is_doubtful(&self, who: Who, now: SystemTime) -> bool {
        let state = self.state.borrow();
        state.doubts.contains_key(&who)
            || state.shown.get(&who).is_some_and(|(_, validity)| validity.needs_care(now))
    }

    /// What replicas log in with, and a number that changes with it.
    pub(super) fn replication(&self) -> (u64, Option<SecretString>) {
        self.state.borrow().replication.clone()
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl State {
    /// Takes note of what this server does not accept; whether it is another thing than before, which
    /// is logged.
    fn doubt(&mut self, who: Who, doubt: Doubt) -> bool {
        let news = self.doubts.get(&who) != Some(&doubt);
        if news {
            tracing::warn!(what = doubt.sentence, "Redis does not take what is in the files");
        }
        self.doubts.insert(who, doubt);
        news
    }

    /// Forgets the old set when the newest has been accepted by all that are needed.
    fn settle(&mut self) {
        if self.proven.is_some() && self.met.is_superset(&self.needed) && !self.met.is_empty() {
            self.proven = None;
            tracing::info!("the new password and certificates of Redis are in use");
        }
    }

    /// Takes what was read over, where it is another thing. Broken files change nothing.
    fn take(&mut self, read: Result<Option<Credentials>, Vec<AccessError>>) -> bool {
        match read {
            Ok(read) => {
                self.read_at = Instant::now();
                self.suspected = None;
                self.broken.clear();
                let Some(mut read) = read else { return false };
                read.generation = self.newest.generation + 1;
                self.changed_at = self.read_at;
                let old = std::mem::replace(&mut self.newest, Arc::new(read));
                // What nobody has accepted yet is no better than what it was to replace.
                self.proven.get_or_insert(old);
                self.met.clear();
                self.doubts.clear();
                tracing::info!("the files for Redis have changed: new connections use what is new");
                true
            }
            Err(errors) if self.suspected.as_ref() != Some(&errors) => {
                self.suspected = Some(errors);
                false
            }
            Err(errors) => {
                for error in errors.iter().filter(|error| !self.broken.contains(error)) {
                    tracing::warn!(
                        what = broken_sentence(error),
                        "the files for Redis cannot be used"
                    );
                }
                let news = self.broken != errors;
                self.broken = errors;
                news
            }
        }
    }
}

fn older_sentence(endpoint: &Endpoint) -> String {
    format!(
        "The Redis at {endpoint} refuses the first password of --redis-password-file and was logged in \
         to with an older one: let it accept the first before the older one is taken away."
    )
}

fn broken_sentence(error: &AccessError) -> String {
    let AccessError { flag, problem } = error;
    format!("{flag}: {problem}; what was read before stays in use.")
}

#[cfg(test)]
mod tests;
