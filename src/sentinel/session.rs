//! What a connection is after all it has asked.

use std::sync::Arc;

use super::commands::{self, Command};
use super::events::Event;
use super::reply::{Protocol, Reply};
use super::requests::Request;
use super::subscriptions::Subscriptions;
use super::{Counters, Site, Topology};

/// Bytes of a client's words that come back in an error.
const QUOTED_BYTES: usize = 128;

/// One client.
pub(super) struct Session {
    pub site: Arc<Site>,
    /// Its number, from 1.
    pub id: u64,
    pub protocol: Protocol,
    /// `CLIENT SETNAME`
    pub name: Vec<u8>,
    pub subscriptions: Subscriptions,
    /// The reply to this request is the last one.
    pub closing: bool,
}

impl Session {
    /// As it is before its first request.
    pub fn new(site: Arc<Site>, id: u64) -> Session {
        Session {
            site,
            id,
            protocol: Protocol::default(),
            name: Vec::new(),
            subscriptions: Subscriptions::default(),
            closing: false,
        }
    }

    /// Answers a request of at least one word.
    pub fn answer(&mut self, request: &Request, out: &mut Vec<u8>) {
        Counters::add(&self.site.counters.commands);
        let mut reply = Reply { out, protocol: self.protocol };
        let Some((name, args)) = request.split_first() else { return };
        let Some(command) = find(commands::ALL, name) else {
            return unknown(name, args, &mut reply);
        };
        if !command.takes(request.len()) {
            return wrong_number(command.name, &mut reply);
        }
        let subscribed = self.protocol == Protocol::Resp2 && self.subscriptions.any();
        if subscribed && !command.while_subscribed {
            let name = command.name;
            return reply.error(&format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context"
            ));
        }
        (command.answer)(self, args, &mut reply);
    }

    /// Tells an event, if the client wants it.
    pub fn tell(&self, event: &Event, out: &mut Vec<u8>) {
        self.subscriptions.tell(event, &mut Reply { out, protocol: self.protocol });
    }

    /// What is known now.
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.site.topology.borrow())
    }

    /// Answers a request whose second word says what is asked; `args` begin with it.
    pub fn answer_sub(
        &mut self,
        container: &str,
        commands: &[Command],
        args: &[Vec<u8>],
        reply: &mut Reply<'_>,
    ) {
        let Some((name, rest)) = args.split_first() else { return };
        match find(commands, name) {
            None => {
                let help = container.to_uppercase();
                let name = quoted(name);
                reply.error(&format!("ERR unknown subcommand '{name}'. Try {help} HELP."));
            }
            Some(command) if !command.takes(args.len() + 1) => {
                wrong_number(&format!("{container}|{}", command.name), reply);
            }
            Some(command) => (command.answer)(self, rest, reply),
        }
    }
}

fn find<'a>(commands: &'a [Command], name: &[u8]) -> Option<&'a Command> {
    commands.iter().find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

fn unknown(name: &[u8], args: &[Vec<u8>], reply: &mut Reply<'_>) {
    let mut told = String::new();
    for arg in args {
        if told.len() >= QUOTED_BYTES {
            break;
        }
        told += &format!("'{}' ", quoted(arg));
    }
    reply.error(&format!(
        "ERR unknown command '{}', with args beginning with: {told}",
        quoted(name)
    ));
}

fn wrong_number(name: &str, reply: &mut Reply<'_>) {
    reply.error(&format!("ERR wrong number of arguments for '{name}' command"));
}

/// The beginning of what a client sent, as text.
pub(super) fn quoted(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED_BYTES)])
}
