//! What replies do to the account of a session.

use super::super::commands::{Channels, Setting};
use super::super::resp::{Frame, Replies, Words};
use super::Why;
use super::account::{Account, What};
use super::foreign::first_element;
use super::kept::Kept;
use super::refused;

/// What the old master says to a blocking request that it did not do.
const REFUSALS: [&[u8]; 2] = [b"-UNBLOCKED force unblock", b"-READONLY "];

/// How messages of subscriptions begin behind their type byte, the length of that with its line end,
/// and how many words follow.
const MESSAGES: [(&[u8; 15], usize, usize); 3] = [
    (b"3\r\n$7\r\nmessage\r", 16, 2),
    (b"4\r\n$8\r\npmessage", 17, 3),
    (b"3\r\n$8\r\nsmessage", 17, 2),
];

/// Whether a reply says that its request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    No,
    /// Too little of it is here.
    Maybe,
    Yes,
}

/// A reply to one of the words of SUBSCRIBE or UNSUBSCRIBE, or what looks like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Confirmation {
    channels: Channels,
    begins: bool,
}

impl Refusal {
    /// Of the reply that these bytes begin, or are the beginning of.
    pub(super) fn of(bytes: &[u8]) -> Refusal {
        if REFUSALS.iter().any(|refusal| bytes.starts_with(refusal)) {
            return Refusal::Yes;
        }
        match REFUSALS.iter().any(|refusal| refusal.starts_with(bytes)) {
            true => Refusal::Maybe,
            false => Refusal::No,
        }
    }
}

impl Account {
    /// Frames with numbers below this are replies that do not matter, unless they are pushes.
    pub(super) fn plain_until(&self) -> u64 {
        if self.subscribed && !self.resp3 { 0 } else { self.due.min(self.sent) }
    }

    /// Takes replies up to this number, none of which matters, and messages, as long as they are usual
    /// ones that are here whole. Returns how many bytes they are.
    #[inline(always)]
    pub(super) fn plain(&mut self, scanner: &Replies, input: &[u8], until: u64) -> usize {
        let (count, end) = scanner.run(input, until.saturating_sub(self.answered));
        self.answered += count;
        match input.get(end..) {
            Some(rest) if self.subscribed && scanner.between() => end + self.messages(rest),
            _ => end,
        }
    }

    /// How many bytes of input that begins with a frame are messages of subscriptions, which do
    /// nothing to the session, up to the first other frame or the first that is not here whole.
    #[inline(always)]
    fn messages(&self, input: &[u8]) -> usize {
        let kind = if self.resp3 { b'>' } else { b'*' };
        let (mut at, mut words) = (0, Words::default());
        while let Some([first, rest @ ..]) = input.get(at..)
            && *first == kind
            && let Some(length) = message(rest, &mut words)
        {
            at += 1 + length;
        }
        at
    }

    /// Takes a whole frame, which begins with `lead`.
    pub(super) fn frame(&mut self, frame: Frame, lead: &[u8]) {
        let confirmation = confirmation(frame, lead);
        let is_push = frame.kind == b'>';
        if let Some(What::Subscribe(..) | What::Unsubscribe(..)) = self.front()
            && let Some(confirmation) = confirmation
        {
            return self.confirm(confirmation, frame.last);
        }
        match confirmation {
            Some(confirmation) if is_push => self.recount(confirmation, frame.last),
            _ if is_push || self.is_message(frame, lead) => {}
            _ => self.reply(frame, lead),
        }
    }

    /// What the next replies say of all that is outstanding, if it may be sent again at all.
    pub(super) fn refusal(&mut self, replies: &[u8]) -> Refusal {
        if !self.may_be_undone() {
            return Refusal::No;
        }
        if !self.may_be_refused() {
            return Refusal::of(replies);
        }
        match refused::are_all_refused(replies, self.sent - self.answered) {
            Some(true) => Refusal::Yes,
            Some(false) => {
                if replies.starts_with(refused::READONLY) {
                    // The client sees one: none behind it is done after all.
                    self.mark = None;
                }
                Refusal::No
            }
            None => Refusal::Maybe,
        }
    }

    /// The blocking request, which is kept and the only one outstanding, was not done.
    pub(super) fn undo(&mut self) {
        self.pop();
        self.undone = true;
    }

    /// The time of the blocking request, the only one outstanding, is over.
    pub(super) fn lapse(&mut self) {
        self.undo();
        self.extra_mut().kept = Some(Box::new(Kept::over()));
    }

    /// The requests outstanding were not done, which were sent last of these.
    pub(super) fn undo_plain(&mut self, sent: &[u8]) -> bool {
        let count = self.sent - self.answered;
        let Some(requests) = refused::last(sent, count) else { return false };
        self.extra_mut().kept = Some(Box::new(Kept::plain(requests, count)));
        self.sent = self.answered;
        self.undone = true;
        true
    }

    fn reply(&mut self, frame: Frame, lead: &[u8]) {
        if self.answered == self.sent {
            return self.lose(Why::Tunnel);
        }
        if self.front().is_none() {
            self.answered += 1;
            return;
        }
        let Some(what) = self.pop() else { return self.lose(Why::Tunnel) };
        if matches!(frame.kind, b'-' | b'!') {
            self.refused(&what, lead);
        } else if self.open.multi && lead.starts_with(b"+QUEUED\r\n") {
            self.queued(&what);
        } else {
            self.done(what, frame, lead);
        }
        // Whatever was expected, this is how it is.
        if self.sent == self.answered && !self.half {
            self.begun = self.open;
        }
    }

    fn refused(&mut self, what: &What, lead: &[u8]) {
        match what {
            // Until Redis 7.0 the options before the one that is wrong were taken.
            What::Hello { doubtful: true, .. } if !lead.starts_with(b"-NOPROTO") => {
                self.bound = true;
            }
            // Any refusal of EXEC ends the transaction.
            What::Exec if self.open.multi => self.open = Default::default(),
            What::Block if self.is_kept() => self.forget_kept(),
            _ => {}
        }
    }

    /// It will be done by EXEC, in the midst of whose reply the one to it is.
    fn queued(&mut self, what: &What) {
        match what {
            What::Set(_) | What::Track { .. } | What::Bind => self.bound = true,
            What::Load => self.script_lost = true,
            What::Block if self.is_kept() => self.forget_kept(),
            What::Block | What::Scan | What::Unwatch => {}
            _ => self.lose(Why::Bound),
        }
    }

    fn done(&mut self, what: What, frame: Frame, lead: &[u8]) {
        match what {
            What::Set(values) => self.extra_mut().settings.apply(&values),
            What::Hello { values, .. } => {
                self.resp3 = frame.kind == b'%';
                self.extra_mut().settings.apply(&values);
            }
            What::Multi => self.open.multi = true,
            What::Exec | What::Discard => self.open = Default::default(),
            What::Watch => self.open.watch = true,
            What::Unwatch => self.open.watch = false,
            What::Reset => self.was_reset(),
            What::Monitor => self.lose(Why::Subscribed),
            What::Track { on } => self.tracking = on,
            What::Unmute => self.muted = false,
            What::Bind => self.bound = true,
            What::Load => self.loaded(lead),
            What::Block if self.is_kept() => self.forget_kept(),
            What::Block => {}
            What::Scan => self.extra_mut().cursors.note(lead),
            What::Subscribe(..) | What::Unsubscribe(..) => self.lose(Why::Tunnel),
        }
    }

    fn was_reset(&mut self) {
        self.open = Default::default();
        (self.muted, self.tracking, self.subscribed, self.resp3) = Default::default();
        let extra = self.extra_mut();
        extra.channels = Default::default();
        extra.settings.retain(&[Setting::LibName, Setting::LibVer]);
    }

    fn loaded(&mut self, lead: &[u8]) {
        match lead.strip_prefix(b"$40\r\n").and_then(|sha| sha.get(..40)) {
            Some(sha) => self.note_script(sha),
            None => self.script_lost = true,
        }
    }

    /// Whether this is a message of a subscription in RESP2, where only its first word tells.
    fn is_message(&self, frame: Frame, lead: &[u8]) -> bool {
        let names = [&b"message"[..], b"pmessage", b"smessage"];
        self.subscribed
            && !self.resp3
            && frame.kind == b'*'
            && first_element(lead).is_some_and(|first| names.contains(&first))
    }

    /// One of the replies to the request in front.
    fn confirm(&mut self, confirmation: Confirmation, count: Option<i64>) {
        let before = self.channels_of(confirmation.channels);
        self.recount(confirmation, count);
        let left = match self.front() {
            Some(What::Subscribe(channels, left))
                if confirmation == (Confirmation { channels: *channels, begins: true }) =>
            {
                left
            }
            Some(What::Unsubscribe(channels, left))
                if confirmation == (Confirmation { channels: *channels, begins: false }) =>
            {
                if *left == 0 {
                    *left = before.max(1);
                }
                left
            }
            _ => return self.lose(Why::Tunnel),
        };
        *left -= 1;
        if *left == 0 {
            self.pop();
        }
    }

    /// `count`: how many channels there are now; of a shard, or of the other two kinds together.
    fn recount(&mut self, confirmation: Confirmation, count: Option<i64>) {
        let Some(count) = count.and_then(|count| u32::try_from(count).ok()) else {
            return self.lose(Why::Tunnel);
        };
        let Confirmation { channels, begins } = confirmation;
        let all = &mut self.extra_mut().channels;
        let others = match channels {
            Channels::Plain => all[Channels::Pattern as usize],
            Channels::Pattern => all[Channels::Plain as usize],
            Channels::Shard => 0,
        };
        let before = all[channels as usize];
        // A channel more or less, or none if it was subscribed to already, or was not.
        let expected = if begins {
            [before, before.saturating_add(1)]
        } else {
            [before, before.saturating_sub(1)]
        };
        let now = count.checked_sub(others);
        match now.filter(|now| expected.contains(now)) {
            Some(now) => all[channels as usize] = now,
            None => return self.lose(Why::Tunnel),
        }
        self.subscribed = all.iter().any(|count| *count > 0);
    }

    fn channels_of(&self, channels: Channels) -> u32 {
        self.extra().map_or(0, |extra| extra.channels[channels as usize])
    }
}

/// The length of the message that begins, behind its type byte, with these bytes.
#[inline(always)]
fn message(bytes: &[u8], words: &mut Words) -> Option<usize> {
    let begin = bytes.first_chunk()?;
    let (_, line, more) = MESSAGES.iter().find(|(message, ..)| *message == begin)?;
    let rest = bytes.get(line - 2..)?.strip_prefix(b"\r\n")?;
    Some(line + words.length(*more, rest)?)
}

fn confirmation(frame: Frame, lead: &[u8]) -> Option<Confirmation> {
    if !matches!(frame.kind, b'>' | b'*') {
        return None;
    }
    let (channels, begins) = match first_element(lead)? {
        b"subscribe" => (Channels::Plain, true),
        b"unsubscribe" => (Channels::Plain, false),
        b"psubscribe" => (Channels::Pattern, true),
        b"punsubscribe" => (Channels::Pattern, false),
        b"ssubscribe" => (Channels::Shard, true),
        b"sunsubscribe" => (Channels::Shard, false),
        _ => return None,
    };
    Some(Confirmation { channels, begins })
}
