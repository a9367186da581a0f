//! What is outstanding, and what state the connection is in.

use std::collections::VecDeque;

use super::super::commands::Channels;
use super::foreign::Cursors;
use super::kept::Kept;
use super::refused::Mark;
use super::settings::{self, Values};
use super::{Again, Change, Why};

/// Scripts remembered at most.
const SCRIPTS_MAX: usize = 64;
/// Requests in flight at one time whose replies matter, at most.
const SPECIALS_MAX: usize = 2048;
/// So many of them have room for good.
const SPECIALS_KEPT: usize = 8;
/// The shortest request that gets a reply: a letter and a line feed.
const REQUEST_MIN: u64 = 2;
/// There is no such request.
pub(super) const NEVER: u64 = u64::MAX;

/// All that is known of a session besides the framing.
#[derive(Debug)]
pub(super) struct Account {
    /// Requests sent that get a reply.
    pub(super) sent: u64,
    /// Those that have got it.
    pub(super) answered: u64,
    /// The number of the first one whose reply matters, counted from 0, or [`NEVER`].
    pub(super) due: u64,
    /// `None` until there is something in it.
    extra: Option<Box<Extra>>,
    /// Why nothing is followed any more.
    pub(super) tunnel: Option<Why>,
    /// The beginning of a request was sent, and not yet its end.
    pub(super) half: bool,
    /// What was begun by requests sent.
    pub(super) begun: Transaction,
    /// What was begun by requests that were answered.
    pub(super) open: Transaction,
    /// Which replies are left out.
    pub(super) mute: Mute,
    /// Some replies may have been left out since the last that shows where the session stands.
    pub(super) muted: bool,
    /// RESP3 is spoken.
    pub(super) resp3: bool,
    pub(super) subscribed: bool,
    pub(super) tracking: bool,
    pub(super) bound: bool,
    pub(super) waited: bool,
    /// A script was used that could not be remembered.
    pub(super) script_lost: bool,
    pub(super) moved: bool,
    /// What is kept was not done by the old master.
    pub(super) undone: bool,
    /// The bytes that were let go last, if they are whole requests whose replies do not matter.
    pub(super) mark: Option<Mark>,
}

/// A transaction that has begun and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) multi: bool,
    pub(super) watch: bool,
}

/// Which replies CLIENT REPLY has asked to be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mute {
    No,
    Next,
    All,
}

/// What few sessions have, or have for a short time.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// In the order of the requests.
    specials: VecDeque<Special>,
    /// Bytes of values in `specials`.
    pending: usize,
    pub(super) settings: Values,
    pub(super) scripts: Vec<[u8; 40]>,
    pub(super) cursors: Cursors,
    pub(super) kept: Option<Box<Kept>>,
    /// Subscriptions to each of [`Channels`].
    pub(super) channels: [u32; 3],
}

/// A request whose reply matters.
#[derive(Debug)]
struct Special {
    number: u64,
    what: What,
}

/// What such a request does if its reply says so.
#[derive(Debug)]
pub(super) enum What {
    Set(Values),
    /// `doubtful`: may have done a part of it although it is answered with an error.
    Hello {
        values: Values,
        doubtful: bool,
    },
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Reset,
    /// So many replies are to come.
    Subscribe(Channels, u32),
    /// So many replies are to come; 0: one for each channel there is then, but at least one.
    Unsubscribe(Channels, u32),
    Monitor,
    Track {
        on: bool,
    },
    Unmute,
    Bind,
    Load,
    Block,
    Scan,
}

impl Default for Account {
    fn default() -> Account {
        Account {
            sent: 0,
            answered: 0,
            due: NEVER,
            extra: None,
            tunnel: None,
            half: false,
            begun: Transaction::default(),
            open: Transaction::default(),
            mute: Mute::No,
            muted: false,
            resp3: false,
            subscribed: false,
            tracking: false,
            bound: false,
            waited: false,
            script_lost: false,
            moved: false,
            undone: false,
            mark: None,
        }
    }
}

impl Transaction {
    pub(super) fn is_any(self) -> bool {
        self.multi || self.watch
    }
}

impl Account {
    pub(super) fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Nothing can be followed any more. Forgets all else, passwords first of all.
    pub(super) fn lose(&mut self, why: Why) {
        *self = Account { tunnel: self.tunnel.or(Some(why)), ..Account::default() };
    }

    /// Counts a request that is sent.
    #[inline]
    pub(super) fn count(&mut self) {
        match self.mute {
            Mute::No => self.sent += 1,
            Mute::Next => self.mute = Mute::No,
            Mute::All => {}
        }
    }

    /// Counts a request that is sent and whose reply matters; it does get one.
    pub(super) fn push(&mut self, what: What) {
        let number = self.sent;
        self.count();
        debug_assert!(self.sent > number, "it gets a reply");
        let bytes = what.bytes();
        let extra = self.extra_mut();
        extra.specials.push_back(Special { number, what });
        extra.pending += bytes;
        if extra.specials.len() > SPECIALS_MAX {
            return self.lose(Why::Bound);
        }
        if extra.pending + extra.settings.len() > settings::BYTES_MAX {
            return self.lose(Why::Bound);
        }
        self.due = self.due.min(number);
    }

    /// The request that is due, if its reply matters and has not come whole.
    pub(super) fn front(&mut self) -> Option<&mut What> {
        if self.due != self.answered {
            return None;
        }
        self.extra.as_mut()?.specials.front_mut().map(|special| &mut special.what)
    }

    /// The reply to [`Self::front`] is whole.
    pub(super) fn pop(&mut self) -> Option<What> {
        let specials = &mut self.extra.as_mut()?.specials;
        let what = specials.pop_front()?.what;
        self.due = specials.front().map_or(NEVER, |next| next.number);
        if specials.is_empty() && specials.capacity() > SPECIALS_KEPT {
            *specials = VecDeque::new();
        }
        self.answered += 1;
        self.extra_mut().pending -= what.bytes();
        Some(what)
    }

    /// A blocking command, and nothing else, is outstanding.
    pub(super) fn is_blocked(&self) -> bool {
        let front = self.extra().and_then(|extra| extra.specials.front());
        self.sent == self.answered + 1
            && self.due == self.answered
            && front.is_some_and(|special| matches!(special.what, What::Block))
    }

    pub(super) fn forget_kept(&mut self) {
        self.undone = false;
        self.extra_mut().kept = None;
    }

    /// Whether a blocking command is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.extra().is_some_and(|extra| extra.kept.is_some())
    }

    /// The replies to come may be swallowed.
    pub(super) fn may_be_undone(&self) -> bool {
        self.may_be_refused() || (self.is_kept() && self.is_blocked())
    }

    /// The same, of requests that do not block. Of more than were let go last nothing need be held back.
    pub(super) fn may_be_refused(&self) -> bool {
        let outstanding = self.sent - self.answered;
        let most = |mark: Mark| mark.len() as u64 / REQUEST_MIN;
        outstanding > 0 && self.mark.is_some_and(|mark| outstanding <= most(mark))
    }

    /// Every request gets one reply, which does not matter, and the session can go on elsewhere.
    pub(super) fn is_plain(&self) -> bool {
        self.due == NEVER
            && !self.half
            && self.mute == Mute::No
            && !self.muted
            && !self.begun.is_any()
            && !self.open.is_any()
            && self.tunnel.is_none()
            && !(self.subscribed || self.tracking || self.bound || self.script_lost)
    }

    /// As [`super::Ledger::again`].
    pub(super) fn again(&mut self, now: u64) -> Option<Again> {
        if !self.undone {
            return None;
        }
        self.undone = false;
        let mut kept = self.extra_mut().kept.take()?;
        if !kept.renew(now) {
            return Some(Again::Reply(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" }));
        }
        let request = kept.request().to_vec();
        if kept.plain_count() == 0 {
            self.push(What::Block);
            self.extra_mut().kept = Some(kept);
        } else {
            self.sent += kept.plain_count();
        }
        Some(Again::Request(request))
    }

    /// As [`super::Ledger::moved`].
    pub(super) fn moved(&mut self) {
        (self.moved, self.mark) = (true, None);
        if let Some(extra) = &mut self.extra {
            extra.cursors.forget();
        }
    }

    /// Remembers a script by its SHA-1, if it is one.
    pub(super) fn note_script(&mut self, sha: &[u8]) {
        let Ok(mut sha) = <[u8; 40]>::try_from(sha) else { return };
        if !sha.iter().all(u8::is_ascii_hexdigit) {
            return;
        }
        sha.make_ascii_lowercase();
        let scripts = &mut self.extra_mut().scripts;
        if !scripts.contains(&sha) {
            if scripts.len() < SCRIPTS_MAX {
                scripts.push(sha);
            } else {
                self.script_lost = true;
            }
        }
    }

    /// As [`super::Ledger::may_move`].
    pub(super) fn may_move(&self, change: Change) -> Result<(), Why> {
        let crash = change == Change::Crash;
        let reasons = [
            (self.half, Why::HalfRequest),
            (self.open.is_any() || self.begun.is_any(), Why::Transaction),
            (self.subscribed, Why::Subscribed),
            (self.tracking, Why::Tracking),
            (self.bound || self.muted, Why::Bound),
            (self.is_blocked(), Why::Blocked),
            (self.sent != self.answered, Why::Outstanding),
            (crash && self.undone, Why::Outstanding),
            (crash && self.waited, Why::Waited),
            (self.script_lost, Why::Script),
        ];
        let found = self.tunnel.or_else(|| Some(reasons.iter().find(|(is, _)| *is)?.1));
        found.map_or(Ok(()), Err)
    }
}

impl What {
    /// Bytes of the values in it.
    fn bytes(&self) -> usize {
        match self {
            What::Set(values) | What::Hello { values, .. } => values.len(),
            _ => 0,
        }
    }
}
