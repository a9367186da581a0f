//! What a session is owed and what it has set: decides whether it can be moved (DESIGN 3.4).
//!
//! Pure: bytes go by, nothing is read or written here.

use std::borrow::Cow;

use zeroize::Zeroizing;

/// Why a session is cut and not moved, as counted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The next master may lack what this session has seen.
    Stale,
    /// A reply was outstanding when the master went, or did not come in time.
    Outstanding,
    /// Half a request had been passed on.
    HalfRequest,
    /// A blocking command waited and cannot be sent again.
    Blocked,
    /// MULTI or WATCH.
    Transaction,
    /// A subscription or MONITOR.
    Subscribed,
    /// Client-side caching.
    Tracking,
    /// WAIT or WAITAOF was used, and the change was not planned.
    Waited,
    /// A script that nobody has.
    Script,
    /// Named something of the old server: a client, or a SCAN cursor.
    Foreign,
    /// A command that binds the connection in a way that cannot be repeated.
    Bound,
    /// No RESP: TLS, or what could not be followed.
    Tunnel,
    /// The new master refused what the session had set, or was too slow.
    Refused,
    /// `--move-sessions off`.
    Off,
}

impl Why {
    /// All reasons, each at the place that is its number.
    pub const ALL: [Why; 14] = [
        Why::Stale,
        Why::Outstanding,
        Why::HalfRequest,
        Why::Blocked,
        Why::Transaction,
        Why::Subscribed,
        Why::Tracking,
        Why::Waited,
        Why::Script,
        Why::Foreign,
        Why::Bound,
        Why::Tunnel,
        Why::Refused,
        Why::Off,
    ];
}

/// Which column of DESIGN 3.4 applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// All that the old master acknowledged is on the new one.
    Planned,
    /// The master failed.
    Crash,
}

/// What to do with bytes from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Up {
    /// So many bytes of the input may be sent on now: whole requests, and the beginning of one too
    /// large to wait for. The rest is given again in front of what comes next.
    pub(super) send: usize,
    /// Behind them come so many bytes of one bulk string that need not be looked at: after the
    /// input is sent whole they may be spliced, and [`Ledger::skip_request`] told.
    pub(super) body: u64,
    /// Behind the bytes to be sent stands a request that must not be sent to this master: the
    /// session ends here.
    pub(super) cut: Option<Why>,
    /// Among the requests to be sent are texts of scripts: [`texts`] of the bytes to be sent.
    pub(super) scripts: bool,
}

/// What to do with bytes from the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Down {
    /// So many bytes of the input go to the client now. The rest is given again in front of what
    /// comes next (at most a few dozen bytes: the beginning of an error that may be swallowed).
    pub(super) send: usize,
    /// As in [`Up`].
    pub(super) body: u64,
    /// Behind the bytes to be sent the master said, in a planned change, that it did not do what was
    /// asked: the client is not told, [`Ledger::again`] has the request. Nothing more is read from
    /// this master.
    pub(super) undone: bool,
}

/// What becomes of a request that the old master did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// To be sent to the new master, before anything else of the client. It is accounted for, so it
    /// is not given to [`Ledger::requests`].
    Request(Vec<u8>),
    /// Its time is over: to be sent to the client.
    Reply(&'static [u8]),
}

/// The account of one session. Small: an idle session has one.
#[derive(Debug, Default)]
pub(super) struct Ledger {}

impl Ledger {
    /// Looks at bytes from the client before they are sent; what it says may be sent counts as sent.
    /// `now`: milliseconds of any steady clock.
    pub(super) fn requests(&mut self, input: &[u8], now: u64) -> Up {
        let _ = now;
        Up { send: input.len(), body: 0, cut: None, scripts: false }
    }

    /// The same while clients are held: goes no further than to the end of what was begun, which is
    /// nowhere if nothing was ([`Ledger::is_midway`]).
    pub(super) fn finish(&mut self, input: &[u8], now: u64) -> Up {
        self.requests(input, now)
    }

    /// Bytes of a request's body went by unseen.
    pub(super) fn skip_request(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Looks at bytes from the master before they are passed on. `held`: a planned change is under
    /// way, so that what the old master refuses may be done by the new one.
    pub(super) fn replies(&mut self, input: &[u8], held: bool) -> Down {
        let _ = held;
        Down { send: input.len(), body: 0, undone: false }
    }

    /// Bytes of a reply's body went by unseen.
    pub(super) fn skip_reply(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Whether nothing is outstanding: no reply but of blocking commands, no half of a request, no
    /// transaction that was begun, WATCH included. What a hold waits for, 50 ms at most.
    pub(super) fn is_settled(&self) -> bool {
        true
    }

    /// Whether requests may go on although the clients are held: half of one has been sent, or a
    /// transaction was begun.
    pub(super) fn is_midway(&self) -> bool {
        false
    }

    /// Whether this session can go on with another master.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn may_move(&self, change: Change) -> Result<(), Why> {
        let _ = change;
        Err(Why::Tunnel)
    }

    /// The request that was not done, once; a blocking one with what is left of its time. To be
    /// asked for before [`Ledger::requests`] is given anything more.
    pub(super) fn again(&mut self, now: u64) -> Option<Again> {
        let _ = now;
        None
    }

    /// The session has moved: forgets what it knew of the old connection, but neither what it has
    /// set nor the request that [`Ledger::again`] has.
    pub(super) fn moved(&mut self) {}

    /// What brings a new connection to where the old one was: requests, and how many replies they
    /// get, none of which may be an error. Holds passwords.
    pub(super) fn replay(&self) -> (Zeroizing<Vec<u8>>, u32) {
        (Zeroizing::default(), 0)
    }

    /// The scripts this session has run or loaded by their SHA-1 (40 lower-case hex digits each).
    pub(super) fn scripts(&self) -> &[[u8; 40]] {
        &[]
    }
}

/// The texts of the scripts in requests that [`Ledger::requests`] has found whole: of EVAL, EVAL_RO
/// and SCRIPT LOAD. Not all of them need be scripts that a server would take.
pub(super) fn texts(sent: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let _ = sent;
    std::iter::empty()
}
