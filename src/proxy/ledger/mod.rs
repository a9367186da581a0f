//! What a session is owed and what it has set: decides whether it can be moved (DESIGN 3.4).
//!
//! Pure: bytes go by, nothing is read or written here.

mod account;
mod foreign;
mod kept;
mod refused;
mod replies;
mod requests;
mod settings;

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::commands::{self, Setting};
use super::resp::{Replies, Reply, Request, Requests};
use account::{Account, Extra, Mute};
pub(super) use refused::Mark;
use replies::Refusal;

/// The first byte of TLS: the type of a handshake record.
const TLS: u8 = 0x16;

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
    /// large to wait for. The rest is given again in front of what comes next: up to 1 MiB where it
    /// is the beginning of a request whose words matter, else less than 64 KiB.
    pub(super) send: usize,
    /// Behind them come so many bytes of one bulk string that need not be looked at: after the
    /// input is sent whole they may be spliced, and [`Ledger::skip_request`] told.
    pub(super) body: u64,
    /// Behind the bytes to be sent stands a request that must not be sent to this master: the
    /// session ends here.
    pub(super) cut: Option<Why>,
    /// Where in the input the first request with a script's text begins: [`texts`] of the bytes from
    /// there to `send`.
    pub(super) scripts: Option<usize>,
    /// The bytes to be sent are whole requests whose replies do not matter: they can be given back
    /// if they are refused ([`Ledger::remember`]).
    pub(super) plain: bool,
}

/// What to do with bytes from the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Down {
    /// So many bytes of the input go to the client now. The rest is given again in front of what
    /// comes next: the beginning of what may be swallowed, which is an error, or an error for each of
    /// the requests that were remembered.
    pub(super) send: usize,
    /// As in [`Up`].
    pub(super) body: u64,
    /// Behind the bytes to be sent the master said, in a planned change, that it did not do what was
    /// asked: the client is not told, [`Ledger::again`] has the request, if need be after
    /// [`Ledger::undo`]. Nothing more is read from this master.
    pub(super) undone: bool,
    /// What is sent tells the client nothing but that the time of its blocking command is over: in a
    /// planned change that is no news to the next master.
    pub(super) lapsed: bool,
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
pub(super) struct Ledger {
    up: Requests,
    down: Replies,
    /// The input of the next call begins with so many bytes that `up` has seen.
    seen: u32,
    /// Little is waited for.
    thrifty: bool,
    /// The last reply said that a blocking command's time was over, while clients were held.
    lapsed: bool,
    /// So many scripts somebody was told of.
    told: u8,
    account: Account,
}

impl Ledger {
    /// While `thrifty`, no request is waited for that is larger than a few hundred bytes: one whose
    /// words matter is passed on unread, after which nothing is followed any more.
    pub(super) fn be_thrifty(&mut self, thrifty: bool) {
        self.thrifty = thrifty;
    }

    /// Looks at bytes from the client before they are sent; what it says may be sent counts as sent.
    /// `now`: milliseconds of any steady clock.
    pub(super) fn requests(&mut self, input: &[u8], now: u64) -> Up {
        self.pass(input, now, |_| false)
    }

    /// The same while clients are held: goes no further than to the end of what was begun, which is
    /// nowhere if nothing was ([`Ledger::is_midway`]).
    pub(super) fn finish(&mut self, input: &[u8], now: u64) -> Up {
        self.pass(input, now, |ledger| !ledger.is_midway())
    }

    /// Bytes of a request's body went by unseen.
    pub(super) fn skip_request(&mut self, bytes: u64) {
        if self.account.tunnel.is_none() && self.up.skip(bytes) {
            self.account.half = false;
        }
    }

    /// Looks at bytes from the master before they are passed on. `held`: a planned change is under
    /// way, so that what the old master refuses may be done by the new one.
    pub(super) fn replies(&mut self, input: &[u8], held: bool) -> Down {
        let lapsed = held && self.is_lapse(input);
        self.lapsed = lapsed;
        let account = &mut self.account;
        let (mut at, mut plain_until) = (0, account.plain_until());
        while account.tunnel.is_none() {
            // Where one of them may be a refusal, each is looked at.
            if !(held && account.may_be_undone()) {
                at += account.plain(&self.down, &input[at..], plain_until);
            }
            let rest = &input[at..];
            if held && self.down.between() {
                match account.refusal(rest) {
                    Refusal::No => {}
                    Refusal::Maybe => return Down { send: at, ..Down::default() },
                    Refusal::Yes => {
                        if !account.may_be_refused() {
                            account.undo();
                        }
                        return Down { send: at, undone: true, ..Down::default() };
                    }
                }
            }
            match self.down.next(rest) {
                Reply::Whole { end, frame } => {
                    at += end;
                    if frame.kind != b'>' && account.answered < plain_until {
                        account.answered += 1;
                    } else {
                        account.frame(frame, self.down.lead(&rest[..end]));
                        plain_until = account.plain_until();
                    }
                }
                Reply::Part { body } => {
                    return Down { send: input.len(), body, lapsed, ..Down::default() };
                }
                Reply::Lost => account.lose(Why::Tunnel),
            }
        }
        Down { send: input.len(), lapsed, ..Down::default() }
    }

    /// Whether this is all that a master says when the time of the blocking command is over.
    fn is_lapse(&self, said: &[u8]) -> bool {
        matches!(said, b"*-1\r\n" | b"$-1\r\n" | b"_\r\n")
            && self.account.is_blocked()
            && self.down.between()
    }

    /// Takes what a master said that was not passed on, if it is that the time of the blocking command
    /// is over: [`Ledger::again`] has the reply then.
    pub(super) fn lapse(&mut self, said: &[u8]) -> bool {
        let lapsed = self.is_lapse(said);
        if lapsed {
            self.account.lapse();
        }
        lapsed
    }

    /// Where the bytes are that [`Ledger::requests`] let go last, if they were plain.
    #[inline]
    pub(super) fn remember(&mut self, mark: Option<Mark>) {
        self.account.mark = mark;
    }

    /// Where the requests are that the old master did not do, which [`Ledger::undo`] has to be given.
    pub(super) fn refused(&self) -> Option<Mark> {
        self.account.mark.filter(|_| self.account.may_be_refused())
    }

    /// Takes back the requests outstanding, which were the last of these bytes and were refused; `false`
    /// if they cannot be sent again: the next call of [`Ledger::replies`] passes on what was said.
    pub(super) fn undo(&mut self, sent: Option<&[u8]>) -> bool {
        self.account.mark = None;
        sent.is_some_and(|sent| self.account.undo_plain(sent))
    }

    /// Whether what is outstanding may turn out not to have been done by an old master.
    pub(super) fn may_be_undone(&self) -> bool {
        self.account.may_be_undone()
    }

    /// Bytes of a reply's body went by unseen.
    pub(super) fn skip_reply(&mut self, bytes: u64) {
        if self.account.tunnel.is_some() {
            return;
        }
        if let Some(frame) = self.down.skip(bytes) {
            self.account.frame(frame, self.down.lead(&[]));
        }
    }

    /// Whether nothing is outstanding: no reply but of blocking commands, no half of a request, no
    /// transaction that was begun, WATCH included. What a hold waits for, 50 ms at most.
    pub(super) fn is_settled(&self) -> bool {
        let it = &self.account;
        let quiet = it.sent == it.answered || it.is_blocked();
        // Of a tunnel nobody knows, and it is not moved anyway.
        it.tunnel.is_some() || (quiet && !self.is_midway() && self.down.between())
    }

    /// Whether requests may go on although the clients are held: half of one has been sent, or a
    /// transaction was begun.
    pub(super) fn is_midway(&self) -> bool {
        self.account.half || self.account.begun.is_any()
    }

    /// Whether it waits for the rest of a request of which it has let nothing go.
    pub(super) fn is_waiting(&self) -> bool {
        self.seen > 0
    }

    /// So many bytes of it are here.
    pub(super) fn waiting(&self) -> u32 {
        self.seen
    }

    /// Whether nothing is followed: there are no requests to stop between.
    pub(super) fn is_tunnel(&self) -> bool {
        self.account.tunnel.is_some()
    }

    /// Whether this session can go on with another master.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn may_move(&self, change: Change) -> Result<(), Why> {
        self.account.may_move(change)?;
        if self.lapsed && change == Change::Crash {
            return Err(Why::Stale);
        }
        // Half a push was passed on.
        if self.down.between() { Ok(()) } else { Err(Why::Outstanding) }
    }

    /// The request that was not done, once; a blocking one with what is left of its time. To be
    /// asked for before [`Ledger::requests`] is given anything more.
    pub(super) fn again(&mut self, now: u64) -> Option<Again> {
        self.account.again(now)
    }

    /// The session has moved: forgets what it knew of the old connection, but neither what it has
    /// set nor the request that [`Ledger::again`] has.
    pub(super) fn moved(&mut self) {
        self.account.moved();
        self.told = 0;
    }

    /// What brings a new connection to where the old one was: requests, and how many replies they
    /// get, none of which may be an error. Holds passwords.
    pub(super) fn replay(&self) -> (Zeroizing<Vec<u8>>, u32) {
        self.account.extra().map(|extra| extra.settings.requests()).unwrap_or_default()
    }

    /// The same, for what makes another connection one of the same user.
    pub(super) fn login(&self) -> (Zeroizing<Vec<u8>>, u32) {
        let login = |extra: &Extra| extra.settings.requests_of(&[Setting::Auth]);
        self.account.extra().map(login).unwrap_or_default()
    }

    /// Whether there are scripts that nobody was told of, once; all of a session that has moved.
    #[inline]
    pub(super) fn take_script_news(&mut self) -> bool {
        // There are far fewer than that.
        let scripts = self.scripts().len() as u8;
        std::mem::replace(&mut self.told, scripts) != scripts
    }

    /// The scripts this session has run or loaded by their SHA-1 (40 lower-case hex digits each).
    pub(super) fn scripts(&self) -> &[[u8; 40]] {
        self.account.extra().map_or(&[], |extra| &extra.scripts)
    }

    /// Takes whole requests, and what need not be waited for, until `ends`.
    fn pass(&mut self, input: &[u8], now: u64, ends: impl Fn(&Ledger) -> bool) -> Up {
        let mut up = Up { send: 0, body: 0, cut: None, scripts: None, plain: false };
        let begun = self.account.half;
        let mut seen = self.seen as usize;
        debug_assert!(seen <= input.len(), "what was not sent is given again");
        seen = seen.min(input.len());
        while seen < input.len() && self.account.tunnel.is_none() && !ends(self) {
            let plain = self.plain(&input[seen..]);
            if plain > 0 {
                seen += plain;
                up.send = seen;
                continue;
            }
            let is_tls = input[up.send] == TLS && !self.account.half;
            let found = if is_tls { Request::Lost } else { self.up.next(&input[seen..]) };
            let taken = match found {
                Request::Whole { end } => {
                    seen += end;
                    self.whole(&input[up.send..seen], now).map(Some)
                }
                Request::Part { body } => {
                    (seen, up.body) = (input.len(), body);
                    self.part(&input[up.send..], body)
                }
                Request::Lost => {
                    self.account.lose(Why::Tunnel);
                    break;
                }
            };
            match taken {
                Ok(Some(has_text)) => {
                    up.scripts = up.scripts.or(has_text.then_some(up.send));
                    up.send = seen;
                }
                Ok(None) => up.body = 0,
                Err(why) => {
                    up.cut = Some(why);
                    break;
                }
            }
        }
        if self.account.tunnel.is_some() {
            (seen, up.send, up.body) = (input.len(), input.len(), 0);
        }
        up.plain = !begun && up.cut.is_none() && self.account.is_plain();
        // Far less than this is waited for.
        self.seen = u32::try_from(seen - up.send).unwrap_or(u32::MAX);
        up
    }

    /// Takes whole requests that do nothing to the session, up to the first other one. Returns how
    /// many bytes they are.
    #[inline(always)]
    fn plain(&mut self, input: &[u8]) -> usize {
        if self.account.mute != Mute::No {
            return 0;
        }
        let (count, bytes) = self.up.run(input, commands::is_plain);
        self.account.sent += count;
        bytes
    }

    fn whole(&mut self, request: &[u8], now: u64) -> Result<bool, Why> {
        if self.account.half {
            self.account.half = false;
            return Ok(false);
        }
        self.account.request(request, now)
    }

    fn part(&mut self, part: &[u8], body: u64) -> Result<Option<bool>, Why> {
        if self.account.half {
            return Ok(Some(false));
        }
        let taken = self.account.part(part, body, self.thrifty)?;
        self.account.half = taken.is_some() && self.account.tunnel.is_none();
        Ok(taken)
    }
}

/// The texts of the scripts in requests that [`Ledger::requests`] let go: of EVAL, EVAL_RO and SCRIPT
/// LOAD. Not all of them need be scripts that a server would take.
pub(super) fn texts(sent: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let (mut scanner, mut rest) = (Requests::default(), sent);
    let requests = std::iter::from_fn(move || match scanner.next(rest) {
        Request::Whole { end } => {
            let (request, behind) = rest.split_at(end);
            rest = behind;
            Some(request)
        }
        // Of a large one the beginning is sent when its text is whole.
        Request::Part { .. } => Some(std::mem::take(&mut rest)).filter(|part| !part.is_empty()),
        Request::Lost => None,
    });
    requests.filter_map(requests::text)
}
