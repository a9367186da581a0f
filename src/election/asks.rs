//! What people ask a hive for (ELECTION 6), and how they hear what became of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::Core;
use super::change::Asker;
use super::frame::{Answer, Message, Request, Verdict};
use super::io::{Action, Ask};
use super::types::{Leadership, NodeId, Time};

/// Nothing heard of a request for so long: it has failed.
const LIMIT: Duration = Duration::from_secs(8);
/// More people are not served at once.
const ASKS_MAX: usize = 64;

/// A person who waits for a change of the master.
#[derive(Debug)]
pub(super) struct Waiting {
    token: u64,
    /// The leadership when it was asked for.
    from: Leadership,
    to: Option<NodeId>,
    since: Time,
    outcome: Option<(Verdict, String)>,
}

impl Core {
    /// Turns to what was asked for, and tells what became of it.
    pub(super) fn serve_asks(&mut self, out: &mut Vec<Action>) {
        for (token, ask) in core::mem::take(&mut self.asked) {
            match ask {
                Ask::Pause => self.set_pause(token, true, out),
                Ask::Resume => self.set_pause(token, false, out),
                Ask::Switchover { to } => {
                    if let Err((verdict, text)) = self.ask_change(token, to, out) {
                        out.push(Action::Answer { token, verdict, text });
                    }
                }
            }
        }
        for (from, request) in core::mem::take(&mut self.requests) {
            self.serve_request(from, request, out);
        }
        self.answer_people(out);
    }

    fn ask_change(
        &mut self,
        token: u64,
        to: Option<IpAddr>,
        out: &mut Vec<Action>,
    ) -> Result<(), (Verdict, String)> {
        let conflict = |text: &str| (Verdict::Conflict, String::from(text));
        if self.paused() {
            return Err(conflict("pause mode is on: resume first"));
        }
        let from = self.leadership().ok_or_else(|| conflict("there is no leader now"))?;
        let to = to.map(|ip| self.node_at(ip)).transpose()?;
        if to == Some(from.leader) && from.master.addr.ip == from.leader.ip {
            return Err((Verdict::Done, format!("{} leads already", from.leader)));
        }
        if self.waiting.len() >= ASKS_MAX {
            return Err(conflict("too many requests are waiting"));
        }
        if from.leader == self.set.me {
            self.begin_change(to, Asker::Person, out)?;
        } else {
            let request = Request { epoch: from.epoch, to };
            self.send(from.leader, Message::Request(request), out);
        }
        let since = self.now();
        self.waiting.push(Waiting { token, from, to, since, outcome: None });
        Ok(())
    }

    fn node_at(&self, ip: IpAddr) -> Result<NodeId, (Verdict, String)> {
        let ip = ip.to_canonical();
        let all = self.peers.states(self.now()).map(|(node, _, _)| node).chain([self.set.me]);
        all.into_iter().find(|node| node.ip == ip).ok_or_else(|| {
            (Verdict::Unfit, format!("{ip} is no hive that is heard: see `redis-hive status`"))
        })
    }

    /// A peer passes a request on.
    fn serve_request(&mut self, from: NodeId, request: Request, out: &mut Vec<Action>) {
        let led = self.leadership().filter(|led| led.leader == self.set.me);
        let begun = match led {
            None => Err((Verdict::Conflict, format!("{} does not lead any more", self.set.me))),
            Some(led) if led.epoch != request.epoch => Err((
                Verdict::Conflict,
                format!(
                    "the epoch is {}, not {}: somebody else was faster",
                    led.epoch, request.epoch
                ),
            )),
            Some(_) => self.begin_change(request.to, Asker::Peer(from, request.epoch), out),
        };
        if let Err((verdict, reason)) = begun {
            let answer = Answer { epoch: request.epoch, verdict, reason };
            self.send(from, Message::Answer(answer), out);
        }
    }

    /// The leader's answer to a request that was passed on.
    pub(super) fn note_answer(&mut self, from: NodeId, answer: Answer) {
        for waiting in &mut self.waiting {
            if waiting.from.leader == from && waiting.from.epoch == answer.epoch {
                waiting.outcome.get_or_insert((answer.verdict, answer.reason.clone()));
            }
        }
    }

    /// What became of the change that people asked this hive for.
    pub(super) fn settle_asks(&mut self, verdict: Verdict, reason: &str) {
        let me = self.set.me;
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.from.leader == me) {
            waiting.outcome.get_or_insert((verdict, String::from(reason)));
        }
    }

    fn answer_people(&mut self, out: &mut Vec<Action>) {
        let (now, led) = (self.now(), self.leadership());
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.retain_mut(|person| {
            let outcome = person.outcome.take().or_else(|| person.judge(led, now));
            let Some((verdict, text)) = outcome else { return true };
            out.push(Action::Answer { token: person.token, verdict, text });
            false
        });
        self.waiting = waiting;
    }

    /// When somebody has waited for long enough.
    pub(super) fn next_of_asks(&self) -> Option<Time> {
        self.waiting.iter().map(|waiting| waiting.since + LIMIT).min()
    }
}

impl Waiting {
    /// What has become of the request, by the leadership there is now.
    fn judge(&self, led: Option<Leadership>, now: Time) -> Option<(Verdict, String)> {
        let changed = led.filter(|led| {
            led.epoch > self.from.epoch && led.master.run_id != self.from.master.run_id
        });
        if let Some(led) = changed {
            let took = now.since(self.since).as_millis();
            let told = format!("{} leads since epoch {}, after {took} ms", led.leader, led.epoch);
            return Some(match self.to {
                Some(to) if to != led.leader => {
                    (Verdict::Conflict, format!("somebody else was faster: {told}"))
                }
                _ => (Verdict::Done, told),
            });
        }
        let same = led.filter(|led| led.epoch > self.from.epoch);
        if let Some(led) = same {
            let told = format!(
                "the master did not move: {} leads with it since epoch {}",
                led.leader, led.epoch
            );
            return Some((Verdict::Failed, told));
        }
        (now.since(self.since) >= LIMIT)
            .then(|| (Verdict::Failed, String::from("nothing was heard of the request in time")))
    }
}
