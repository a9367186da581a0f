//! What requests do to the account of a session.

use std::borrow::Cow;

use super::super::commands::{self, Does, Setting};
use super::super::resp::args;
use super::Why;
use super::account::{Account, Mute, What};
use super::kept::{self, Kept};
use super::settings::Values;

/// A request is waited for up to this size,
const PART_MAX: usize = 32 * 1024;
/// and as long as less than this is known to come;
const BODY_MIN: u64 = 16 * 1024;
/// one whose words matter up to this size.
const WAITED_MAX: u64 = 1024 * 1024;
/// One who is thrifty waits for no more than this, which is enough for any name.
const THRIFTY_MAX: usize = 512;

impl Account {
    /// Takes a whole request that is sent now. Returns whether there is a script's text in it.
    ///
    /// # Errors
    ///
    /// It must not be sent.
    pub(super) fn request(&mut self, request: &[u8], now: u64) -> Result<bool, Why> {
        let Some(does) = does(request) else { return Ok(false) };
        if matches!(does, Does::Nothing) {
            self.count();
            return Ok(false);
        }
        if self.moved && self.extra_mut().cursors.name_another_server(does, request) {
            return Err(Why::Foreign);
        }
        self.special(does, request, now);
        Ok(matches!(does, Does::Evals | Does::Loads))
    }

    /// Takes the beginning of a request, of which `body` bytes more are known to come. `None`: the
    /// rest is waited for. Else it counts as sent; returns whether there is a script's text in it.
    ///
    /// # Errors
    ///
    /// It must not be sent.
    pub(super) fn part(
        &mut self,
        part: &[u8],
        body: u64,
        thrifty: bool,
    ) -> Result<Option<bool>, Why> {
        let (most, more) =
            if thrifty { (THRIFTY_MAX, THRIFTY_MAX as u64) } else { (PART_MAX, BODY_MIN) };
        if part.len() <= most && body < more {
            return Ok(None);
        }
        if part.first() != Some(&b'*') {
            // A line, which has a largest size.
            if thrifty {
                self.lose(Why::Bound);
            }
            return Ok(thrifty.then_some(false));
        }
        let does = does(part).unwrap_or(Does::Nothing);
        let second = args(part).nth(1);
        let has_text = does == Does::Evals && second.is_some();
        let waits = does != Does::Nothing && !has_text && does != Does::Runs;
        if waits && !thrifty && part.len() as u64 + body <= WAITED_MAX {
            return Ok(None);
        }
        if self.moved && self.extra_mut().cursors.name_another_server(does, part) {
            return Err(Why::Foreign);
        }
        match (does, self.mute) {
            (Does::Nothing, _) | (Does::Evals | Does::Blocks(_), Mute::No) => self.count(),
            (Does::Runs, Mute::No) => {
                self.note_script(&second.unwrap_or_default());
                self.count();
            }
            _ => self.lose(Why::Bound),
        }
        Ok(Some(has_text))
    }

    fn special(&mut self, does: Does, request: &[u8], now: u64) {
        // What is set unheard may have failed.
        let heard = match self.mute {
            Mute::No => true,
            Mute::Next => does == Does::Mutes,
            Mute::All => matches!(does, Does::Mutes | Does::Reset),
        };
        if !heard {
            return self.lose(Why::Bound);
        }
        let mut words = args(request).skip(1);
        let mut rest = || u32::try_from(words.by_ref().count()).unwrap_or(u32::MAX);
        match does {
            Does::Nothing | Does::Names(_) | Does::Evals => self.count(),
            Does::Sets(setting) => self.set(setting, request),
            Does::SetsInfo => self.set_info(request),
            Does::Hello => self.hello(request),
            Does::Multi => self.begin(What::Multi),
            Does::Exec => self.end(What::Exec),
            Does::Discard => self.end(What::Discard),
            Does::Watch => self.begin(What::Watch),
            Does::Unwatch => {
                self.begun.watch = false;
                self.push(What::Unwatch);
            }
            Does::Reset => self.reset(rest() == 0),
            Does::Subscribes(channels) => match rest() {
                0 => self.count(),
                count => self.push(What::Subscribe(channels, count)),
            },
            Does::Unsubscribes(channels) => self.push(What::Unsubscribe(channels, rest())),
            Does::Monitors => self.push(What::Monitor),
            Does::Tracks => {
                let off = words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(b"OFF"));
                self.push(What::Track { on: !off });
            }
            Does::Mutes => self.client_reply(request),
            Does::Binds => self.push(What::Bind),
            Does::Copies => self.lose(Why::Bound),
            Does::Waits => {
                self.waited = true;
                self.count();
            }
            Does::Blocks(timeout) => self.block(request, timeout, now),
            Does::Runs => {
                self.note_script(&words.next().unwrap_or_default());
                self.count();
            }
            Does::Loads => self.push(What::Load),
            Does::Scans(_) if self.moved => self.push(What::Scan),
            Does::Scans(_) => self.count(),
        }
    }

    fn set(&mut self, setting: Setting, request: &[u8]) {
        let words: Vec<Cow<'_, [u8]>> = args(request).skip(setting.prefix().len()).collect();
        let is_default = matches!(&words[..], [value] if setting.is_default(value));
        let words = if is_default { &[] } else { &words[..] };
        match Values::new(&[(setting, words)]) {
            Some(values) => self.push(What::Set(values)),
            None => self.push(What::Bind),
        }
    }

    fn set_info(&mut self, request: &[u8]) {
        let attribute = args(request).nth(2).unwrap_or_default();
        match () {
            () if attribute.eq_ignore_ascii_case(b"LIB-NAME") => {
                self.set(Setting::LibName, request)
            }
            () if attribute.eq_ignore_ascii_case(b"LIB-VER") => self.set(Setting::LibVer, request),
            () => self.push(What::Bind),
        }
    }

    fn hello(&mut self, request: &[u8]) {
        let words: Vec<Cow<'_, [u8]>> = args(request).skip(1).collect();
        let Some((version, mut options)) = words.split_first() else { return self.count() };
        let mut settings = vec![(Setting::Protocol, std::slice::from_ref(version))];
        if Setting::Protocol.is_default(version) {
            settings[0].1 = &[];
        }
        while let [option, rest @ ..] = options {
            let (setting, count) = match () {
                () if option.eq_ignore_ascii_case(b"AUTH") => (Setting::Auth, 2),
                () if option.eq_ignore_ascii_case(b"SETNAME") => (Setting::Name, 1),
                () => return self.push(What::Bind),
            };
            let Some((words, rest)) = rest.split_at_checked(count) else { break };
            settings.retain(|(it, _)| *it != setting);
            let is_default = matches!(words, [value] if setting.is_default(value));
            settings.push((setting, if is_default { &[] } else { words }));
            options = rest;
        }
        let doubtful = settings.len() > 2;
        match Values::new(&settings) {
            Some(values) => self.push(What::Hello { values, doubtful }),
            None => self.lose(Why::Bound),
        }
    }

    fn begin(&mut self, what: What) {
        match what {
            What::Multi => self.begun.multi = true,
            _ => self.begun.watch = true,
        }
        self.push(what);
    }

    fn end(&mut self, what: What) {
        self.begun = Default::default();
        self.push(what);
    }

    /// `plain`: without words, which would be refused.
    fn reset(&mut self, plain: bool) {
        if plain {
            self.begun = Default::default();
            self.mute = Mute::No;
            self.push(What::Reset);
        } else {
            self.count();
        }
    }

    fn client_reply(&mut self, request: &[u8]) {
        let words: Vec<Cow<'_, [u8]>> = args(request).skip(2).collect();
        let is =
            |name: &str| matches!(&words[..], [word] if word.eq_ignore_ascii_case(name.as_bytes()));
        let mute = match () {
            () if is("ON") => Mute::No,
            () if is("OFF") => Mute::All,
            () if is("SKIP") => Mute::Next,
            () => return self.count(),
        };
        // Queued or refused: then a reply comes all the same.
        if self.begun.multi {
            return self.lose(Why::Bound);
        }
        if mute == Mute::No {
            self.mute = Mute::No;
            return self.push(What::Unmute);
        }
        self.muted = true;
        // What was asked before is no longer all there is, though no reply is outstanding for this.
        if self.is_kept() {
            self.forget_kept();
        }
        if self.mute != Mute::All {
            self.mute = mute;
        }
    }

    fn block(&mut self, request: &[u8], timeout: commands::Timeout, now: u64) {
        // In a transaction nothing blocks.
        if self.begun.multi || !kept::blocks(request, timeout) {
            return self.count();
        }
        let alone = self.sent == self.answered;
        self.push(What::Block);
        if alone
            && self.tunnel.is_none()
            && let Some(kept) = Kept::new(request, timeout, now)
        {
            self.extra_mut().kept = Some(Box::new(kept));
        }
    }
}

/// The text of the script in a request, of which only the beginning need be here.
pub(super) fn text(request: &[u8]) -> Option<Cow<'_, [u8]>> {
    match does(request)? {
        Does::Evals => args(request).nth(1),
        Does::Loads => args(request).nth(2),
        _ => None,
    }
}

/// What a request does, of which only the beginning need be here. `None`: it has no words.
fn does(request: &[u8]) -> Option<Does> {
    let second = || args(request).nth(1);
    match usual_name(request) {
        Some(name) => Some(commands::does(name, second)),
        None => args(request).next().map(|name| commands::does(&name, second)),
    }
}

/// The first word of a request of up to nine words, if it is not longer than that either.
fn usual_name(request: &[u8]) -> Option<&[u8]> {
    match request {
        [b'*', _, b'\r', b'\n', b'$', length @ b'1'..=b'9', b'\r', b'\n', rest @ ..] => {
            rest.get(..usize::from(length - b'0'))
        }
        _ => None,
    }
}
