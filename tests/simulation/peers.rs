//! Links between hives: dials, frames, and how a link ends.

use std::net::IpAddr;

use redis_hive::election::{Dialled, Frame, Input, Message, NodeId};

use crate::driver::ONCE;
use crate::hosts::PEER_PORT;
use crate::network::{Path, PeerLink, Port, Wire, through_codec, to_wire};
use crate::world::{Event, MS, Micros, SEC, World};

const ROUND: Micros = 200 * MS;
/// A dial that gets no answer ends after this.
const DIAL_TIMEOUT: Micros = 200 * MS;
/// A link that was silent for this long is given up and dialled anew.
const LINK_TIMEOUT: Micros = 3 * SEC;
/// A link that was silent for this long is doubted: the address is dialled beside it.
const LINK_DOUBT: Micros = 1_200 * MS;
/// What a dial finds where the kernel accepts and the hive behind it sleeps.
const ASLEEP: Dialled = Dialled::Foreign;

impl World {
    pub fn broadcast(&mut self, host: usize, frame: Frame) {
        if self.swallowed(host, &frame) {
            return;
        }
        self.check_state(host, &frame);
        self.tell_frame(host, None, &frame);
        let wire = to_wire(&frame);
        for other in 0..self.hosts.len() {
            if other != host {
                self.post(host, other, &wire);
            }
        }
    }

    pub fn send(&mut self, host: usize, to: NodeId, frame: Frame) {
        let Some(other) = self.host_at(to.ip).filter(|other| *other != host) else { return };
        if !self.swallowed(host, &frame) {
            self.check_grant(host, to, &frame);
            self.note_order(to, &frame);
            self.tell_frame(host, Some(other), &frame);
            self.post(host, other, &to_wire(&frame));
        }
    }

    /// Hives that are made to keep a kind of frame to themselves.
    fn swallowed(&self, host: usize, frame: &Frame) -> bool {
        match frame.message {
            Message::Grant(_) => self.hosts[host].never_grants,
            Message::Claim(_) => self.hosts[host].never_claims,
            _ => false,
        }
    }

    fn tell_frame(&mut self, host: usize, to: Option<usize>, frame: &Frame) {
        if self.story.told() && frame.state().is_none() {
            let to = to.map_or("all", crate::story::name);
            let mut text = format!("{:?}", frame.message);
            text.truncate(160);
            self.tell(host, || format!("-> {to}: {text}"));
        }
    }

    fn post(&mut self, from: usize, to: usize, wire: &Wire) {
        let Some(link) = self.net.link(from, to) else { return };
        if self.net.path(from, to, Port::Peer) != Path::Open || !self.hosts[to].powered {
            return;
        }
        let lives = if from < to { link.lives } else { (link.lives.1, link.lives.0) };
        let copies = self.net.deliveries(&mut self.rng);
        if copies[0].is_none() {
            self.net.disturb(self.now, from, to);
        }
        for delay in copies.into_iter().flatten() {
            let mut at = self.now + delay;
            if let Some(link) = self.net.link_mut(from, to) {
                let last = if from < to { &mut link.last.1 } else { &mut link.last.0 };
                at = at.max(*last);
                *last = at;
            }
            if at > self.now + 15 * MS {
                self.net.disturb(self.now, from, to);
            }
            self.at(at, Event::Frame { from, to, lives, wire: wire.clone() });
        }
    }

    pub fn frame_arrives(&mut self, from: usize, to: usize, lives: (u32, u32), wire: &Wire) {
        let now = self.now;
        if self.net.path(from, to, Port::Peer) != Path::Open {
            return;
        }
        let Some(link) = self.net.link_mut(from, to) else { return };
        let held = if from < to { link.lives } else { (link.lives.1, link.lives.0) };
        if held != lives {
            return;
        }
        if from < to {
            link.heard.1 = now
        } else {
            link.heard.0 = now
        }
        self.deliver(to, lives.1, Input::Frame(Box::new(through_codec(wire))));
    }

    /// Every wanted address that is not linked by an own dial is dialled; dead links are noticed.
    pub fn dial_round(&mut self, host: usize, marked: u32) {
        let life = marked & !ONCE;
        if self.hive(host, life).is_none() {
            return;
        }
        if marked & ONCE == 0 {
            let jitter = self.rng.between(0, 20 * MS);
            self.after(ROUND + jitter, Event::DialRound { host, life });
        }
        if self.running(host).frozen {
            return;
        }
        self.notice_dead_links(host, life);
        for at in 0..self.running(host).wanted.len() {
            let addr = self.running(host).wanted[at];
            if self.wants_dial(host, addr) {
                let delay = self.net.delay(&mut self.rng);
                let dial = Event::DialEnds { host, life, addr: addr.ip, silent: false };
                self.after(delay, dial);
            }
        }
    }

    fn wants_dial(&self, host: usize, addr: NodeId) -> bool {
        let Some(other) = self.host_at(addr.ip) else { return true };
        if other == host {
            return false;
        }
        let Some(link) = self.net.link(host, other) else { return true };
        let (heard, dialled) = mine(&link, host < other);
        !dialled || self.now - heard > LINK_DOUBT
    }

    pub fn dial_ends(&mut self, host: usize, life: u32, ip: IpAddr, silent: bool) {
        if self.hive(host, life).is_none_or(|hive| hive.frozen) {
            return;
        }
        let addr = NodeId::new(ip, PEER_PORT);
        if silent {
            return self.dialled(host, life, addr, Dialled::Silent);
        }
        let wait = Event::DialEnds { host, life, addr: ip, silent: true };
        let Some(other) = self.host_at(ip) else { return self.after(DIAL_TIMEOUT, wait) };
        if other == host {
            return self.dialled(host, life, addr, Dialled::Myself);
        }
        if self.net.path(host, other, Port::Peer) == Path::Refused {
            return self.dialled(host, life, addr, Dialled::Refused);
        }
        if !self.net.open(host, other, Port::Peer) {
            return self.after(DIAL_TIMEOUT, wait);
        }
        let outcome = match self.hosts[other].hive.as_ref() {
            None => Dialled::Refused,
            Some(hive) if hive.frozen => ASLEEP,
            Some(_) if self.hosts[host].other_name != self.hosts[other].other_name => {
                Dialled::Foreign
            }
            Some(hive) => Dialled::Hive { node: hive.me, incarnation: hive.incarnation },
        };
        if matches!(outcome, Dialled::Hive { .. }) {
            self.connect(host, other);
        }
        self.dialled(host, life, addr, outcome);
    }

    /// A link between two running hives, dialled by the first one.
    fn connect(&mut self, host: usize, other: usize) {
        let (low, high) = (host.min(other), host.max(other));
        let lives = (self.running(low).life, self.running(high).life);
        let now = self.now;
        let link = self.net.link_mut(host, other);
        if link.is_none_or(|link| link.lives != lives) {
            let (heard, dialled, last) = ((now, now), (false, false), (now, now));
            *link = Some(PeerLink { lives, heard, dialled, last });
        }
        if let Some(link) = link {
            if host == low { link.dialled.0 = true } else { link.dialled.1 = true }
        }
    }

    fn notice_dead_links(&mut self, host: usize, life: u32) {
        for other in 0..self.hosts.len() {
            let Some(link) = self.net.link(host, other) else { continue };
            // A link that carries one way only is kept: frames still come out of it.
            let heard = link.heard.0.max(link.heard.1);
            let (own, theirs) = sides(link.lives, host < other);
            let there = self.hosts[other].hive.as_ref().map(|hive| hive.life);
            let dead = there != Some(theirs) && self.hosts[other].powered;
            let reset = dead && self.net.open(host, other, Port::Peer);
            if own != life || reset || self.now - heard > LINK_TIMEOUT {
                self.drop_link(host, other);
            }
        }
    }

    /// Hives have died or hosts came back: their ends of links answer with RST where that gets through.
    pub fn links_of_dead_hives(&mut self) {
        for low in 0..self.hosts.len() {
            for high in low + 1..self.hosts.len() {
                let Some(link) = self.net.link(low, high) else { continue };
                let lives = [low, high].map(|at| self.hosts[at].hive.as_ref().map(|h| h.life));
                let dead = [lives[0] != Some(link.lives.0), lives[1] != Some(link.lives.1)];
                let heard = self.hosts[low].powered
                    && self.hosts[high].powered
                    && self.net.open(low, high, Port::Peer);
                if (dead[0] || dead[1]) && heard {
                    self.drop_link(low, high);
                }
            }
        }
    }

    /// Links over a path that now answers with RST.
    pub fn links_refused(&mut self) {
        for low in 0..self.hosts.len() {
            for high in low + 1..self.hosts.len() {
                let refused = self.net.path(low, high, Port::Peer) == Path::Refused
                    || self.net.path(high, low, Port::Peer) == Path::Refused;
                if refused && self.net.link(low, high).is_some() {
                    self.drop_link(low, high);
                }
            }
        }
    }

    /// Ends a link: the sides that still run hear of it and dial anew.
    fn drop_link(&mut self, a: usize, b: usize) {
        let (low, high) = (a.min(b), a.max(b));
        let Some(link) = self.net.link_mut(a, b).take() else { return };
        self.net.disturb(self.now, a, b);
        self.link_down(low, link.lives.0, high, link.lives.1);
        self.link_down(high, link.lives.1, low, link.lives.0);
    }

    fn link_down(&mut self, host: usize, life: u32, other: usize, other_life: u32) {
        if self.hive(host, life).is_none() {
            return;
        }
        let Some((node, incarnation)) = self.checks.identity(other, other_life) else { return };
        self.input(400, host, life, Input::LinkDown { node, incarnation });
        self.after(600, Event::DialRound { host, life: life | ONCE });
    }
}

/// When this side heard the other one last, and whether it dialled.
fn mine(link: &PeerLink, low: bool) -> (Micros, bool) {
    if low { (link.heard.0, link.dialled.0) } else { (link.heard.1, link.dialled.1) }
}

fn sides(lives: (u32, u32), low: bool) -> (u32, u32) {
    if low { lives } else { (lives.1, lives.0) }
}
