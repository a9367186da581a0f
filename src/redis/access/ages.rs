//! How old what is shown to Redis servers is, and how long certificates last: for metrics.

use std::time::Duration;

use super::{Access, Who};

/// One moment of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessAges {
    /// Since the files changed last, or since the start; `None` with neither a password nor TLS.
    pub in_force: Option<Duration>,
    /// Since the files were read and could be used; `None` where nothing is read.
    pub read: Option<Duration>,
    /// A server does not accept what is new in them.
    pub refused: bool,
    /// The last second of each certificate, in seconds since the Unix epoch: `client` and `ca` from
    /// the files, `redis` and `master` as these servers showed them.
    pub certificates: Vec<(&'static str, u64)>,
}

impl Access {
    /// What it is now.
    pub fn ages(&self) -> AccessAges {
        let state = self.state.borrow();
        let tls = state.newest.tls.as_ref();
        let shown = |who| state.shown.get(&who).map(|(_, validity)| *validity);
        let certificates = [
            ("client", tls.and_then(|tls| tls.own)),
            ("ca", tls.and_then(|tls| tls.ca)),
            ("redis", shown(Who::Local)),
            ("master", shown(Who::Watched)),
        ];
        let is_something = tls.is_some() || !state.newest.passwords.is_empty();
        AccessAges {
            in_force: is_something.then(|| state.changed_at.elapsed()),
            read: self.settings.has_files().then(|| state.read_at.elapsed()),
            refused: state.doubts.values().any(|doubt| doubt.is_new),
            certificates: certificates
                .into_iter()
                .filter_map(|(whose, validity)| Some((whose, validity?.until)))
                .collect(),
        }
    }
}
