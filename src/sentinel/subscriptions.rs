//! What a client has subscribed to.

use super::events::Event;
use super::glob;
use super::reply::Reply;

/// Channels and patterns of one client together.
const MAX: usize = 64;
/// The longest name of a channel, and the longest pattern.
const MAX_BYTES: usize = 256;

/// Which of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `SUBSCRIBE`
    Channel,
    /// `PSUBSCRIBE`
    Pattern,
}

/// Channels and patterns, each once, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: Vec<Vec<u8>>,
    patterns: Vec<Vec<u8>>,
}

impl Subscriptions {
    /// Whether there are some.
    pub fn any(&self) -> bool {
        self.count() > 0
    }

    /// Adds these and says so, each by itself.
    pub fn add(&mut self, kind: Kind, names: &[Vec<u8>], reply: &mut Reply<'_>) {
        for name in names {
            if !self.list(kind).contains(name) {
                if self.count() >= MAX || name.len() > MAX_BYTES {
                    reply.error(&format!(
                        "ERR a client has at most {MAX} subscriptions of {MAX_BYTES} bytes"
                    ));
                    return;
                }
                self.list(kind).push(name.clone());
            }
            let word = if kind == Kind::Channel { "subscribe" } else { "psubscribe" };
            self.say(word, Some(name), reply);
        }
    }

    /// Takes these away, or all where none is named, and says so, each by itself.
    pub fn remove(&mut self, kind: Kind, names: &[Vec<u8>], reply: &mut Reply<'_>) {
        let word = if kind == Kind::Channel { "unsubscribe" } else { "punsubscribe" };
        let names = if names.is_empty() { self.list(kind).clone() } else { names.to_vec() };
        if names.is_empty() {
            self.say(word, None, reply);
        }
        for name in names {
            self.list(kind).retain(|known| *known != name);
            self.say(word, Some(&name), reply);
        }
    }

    /// Tells an event once for each subscription that wants it.
    pub fn tell(&self, event: &Event, reply: &mut Reply<'_>) {
        let channel = event.channel.as_bytes();
        if self.channels.iter().any(|known| known == channel) {
            reply.push(3);
            reply.bulk("message");
            reply.bulk(channel);
            reply.bulk(&event.message);
        }
        for pattern in self.patterns.iter().filter(|pattern| glob::fits(pattern, channel)) {
            reply.push(4);
            reply.bulk("pmessage");
            reply.bulk(pattern);
            reply.bulk(channel);
            reply.bulk(&event.message);
        }
    }

    fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    fn list(&mut self, kind: Kind) -> &mut Vec<Vec<u8>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    fn say(&self, word: &str, name: Option<&Vec<u8>>, reply: &mut Reply<'_>) {
        reply.push(3);
        reply.bulk(word);
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.integer(self.count() as i64);
    }
}
