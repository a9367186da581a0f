//! Keeps one identified connection to one Redis and tells what is seen over it, at every change and
//! every heartbeat. The loop never waits for Redis without hearing its commands.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attend::Attended;
use super::board::Board;
use super::connection::{Answer, Dialer, Link};
use super::contact::{BoxFuture, Contact, ask, contact, view_of};
use super::info::Info;
use super::renew::Renewal;
use super::rescue::Saving;
use super::resync::Resync;
use super::settings::{Crowd, MISCONF};
use super::shelf::Shelf;
use super::wishes::MinReplicas;
use crate::alarm::Alarm;
use crate::election::{Input, OrderError, Passport, RedisAddr, RedisOrder, RedisView, RunId};

/// A Redis that has not answered for this long is silent.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a spare connection to a silent Redis is kept before another one is tried. A stopped
/// process never takes them out of its kernel's queue, so there must not be many.
const SPARE_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon an order is repeated to a Redis that is busy or loading.
const BUSY_RETRY: Duration = Duration::from_millis(20);
/// How soon an address that refused the credentials, or is no Redis, is tried again.
const UNFIT_RETRY: Duration = Duration::from_secs(1);
/// New connections that are tried at once when one after another ends without an answer.
const RETRIES_AT_ONCE: u32 = 3;

/// What a keeper is told.
pub(super) enum Command {
    Order(Job),
    Fence { run_id: RunId, to: RedisAddr, lifted: CancellationToken },
    Probe { until: Instant },
    ServeStale,
    MinReplicas(MinReplicas),
}

/// An order that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub id: u64,
    pub run_id: RunId,
    pub order: RedisOrder,
    /// When it has failed for want of any answer.
    pub until: Instant,
}

/// Whose connection is kept, and what only that one does.
pub(super) enum Charge {
    /// The local Redis.
    Local(Box<Local>),
    /// A remote master.
    Watched(RedisAddr),
}

/// What is kept for the local Redis alone.
pub(super) struct Local {
    pub redis_timeout: Duration,
    /// Stale data may be served by this run.
    pub stale: Stale,
}

/// `replica-serve-stale-data yes`, asked for once a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    Refused,
    Wanted,
    Served,
}

pub(super) struct Keeper {
    pub dialer: Dialer,
    pub heartbeat: Duration,
    pub charge: Charge,
    pub board: Board,
    pub inputs: mpsc::Sender<Input>,
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub link: Option<Arc<Link>>,
    /// The run whose id was read on `link`.
    pub run: Option<RunId>,
    pub job: Option<Job>,
    /// Passwords and certificates that are new.
    pub renewal: Renewal,
    /// What its run has not taken yet.
    pub min_replicas: Option<MinReplicas>,
    /// Where copies are saved.
    pub shelf: Option<Shelf>,
    /// The save that was begun for the order that is out.
    pub saving: Option<Saving>,
    /// A save has paused the writes of this Redis.
    pub paused_here: bool,
    /// The writes were paused by an order: one that changes the role ends it, and the order for it.
    pub pause_ordered: bool,
    /// Full resyncs that have not come to their end, and what is said of them.
    pub resync: Resync,
    pub trouble: Option<String>,
    pub view: Option<RedisView>,
    /// The last passport, which tells what a silent or busy Redis was.
    pub passport: Option<Passport>,
    /// The run whose settings were looked at.
    met: Option<RunId>,
    pub probes: VecDeque<Instant>,
    pub next_beat: Instant,
    /// When a wait is interrupted.
    pub alarm: Alarm,
    ended_in_a_row: u32,
    pub stop: bool,
}

impl Keeper {
    pub fn new(
        dialer: Dialer,
        heartbeat: Duration,
        charge: Charge,
        board: Board,
        inputs: mpsc::Sender<Input>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Keeper {
        Keeper {
            dialer,
            heartbeat,
            charge,
            board,
            inputs,
            commands,
            link: None,
            run: None,
            job: None,
            renewal: Renewal::default(),
            min_replicas: None,
            shelf: None,
            saving: None,
            paused_here: false,
            pause_ordered: false,
            resync: Resync::default(),
            trouble: None,
            view: None,
            passport: None,
            met: None,
            probes: VecDeque::new(),
            next_beat: Instant::now(),
            alarm: Alarm::new(),
            ended_in_a_row: 0,
            stop: false,
        }
    }

    /// Runs until its commands' sender is gone, or nobody takes its inputs.
    pub async fn run(mut self) {
        while !self.stop {
            let pause = self.turn().await;
            if self.stop || pause.is_zero() {
                continue;
            }
            let until = Instant::now() + pause;
            let link = self.link.clone();
            let saved = self.saving.as_ref().filter(|it| it.goes_on());
            let saved = saved.map(|saving| saving.finished.clone());
            let end = async {
                tokio::select! {
                    () = settled(link.as_deref().map(Link::ended)) => {}
                    () = settled(saved.as_ref().map(CancellationToken::cancelled)) => {}
                }
            };
            // However the wait ends, the next turn follows.
            self.attend(until, end).await;
        }
        self.fail_job(OrderError::Gone).await;
    }

    /// One question and what follows from its answer. Returns how long to wait for the next one.
    async fn turn(&mut self) -> Duration {
        let asked = Instant::now();
        match self.question().await {
            None => Duration::ZERO,
            Some(Contact::Refused) => {
                self.lose_link();
                self.tell_once(RedisView::Gone).await;
                self.problem(Some(format!("Nothing listens on {}.", self.dialer.endpoint)));
                self.fail_job(OrderError::Gone).await;
                self.heartbeat / 4
            }
            Some(Contact::Unreachable) => {
                self.lose_link();
                self.tell_once(RedisView::Silent).await;
                self.problem(Some(format!("There is no way to {}.", self.dialer.endpoint)));
                self.heartbeat
            }
            Some(Contact::Failed(answer)) => self.judge(answer, asked).await,
            Some(Contact::Answered(link, answer)) => {
                if !self.link.as_ref().is_some_and(|old| Arc::ptr_eq(old, &link)) {
                    self.run = None;
                }
                self.link = Some(link);
                self.judge(answer, asked).await
            }
        }
    }

    /// Asks who is there, over the connection or a new one. `None` when the keeper was stopped.
    async fn question(&mut self) -> Option<Contact> {
        let link = self.link.clone().filter(|link| !link.is_over());
        if link.is_none() {
            self.lose_link();
        }
        let mut question = match link {
            Some(link) => ask(link),
            None => contact(self.dialer.clone()),
        };
        let mut until = Instant::now() + ANSWER_TIMEOUT;
        let mut spare: Option<BoxFuture<Contact>> = None;
        loop {
            let either = async {
                match spare.as_mut() {
                    None => (true, question.as_mut().await),
                    Some(spare) => tokio::select! { biased;
                        first = question.as_mut() => (true, first),
                        second = spare.as_mut() => (false, second),
                    },
                }
            };
            match self.attend(until, either).await {
                Attended::Stop => return None,
                Attended::Interrupted => {}
                Attended::Late => {
                    self.tell(RedisView::Silent).await;
                    self.problem(Some(format!("{} does not answer.", self.dialer.endpoint)));
                    spare = Some(contact(self.dialer.clone()));
                    until = Instant::now() + SPARE_TIMEOUT;
                }
                Attended::Done((true, found)) => return Some(found),
                Attended::Done((
                    false,
                    Contact::Unreachable
                    | Contact::Failed(Answer::Broken)
                    | Contact::Answered(_, Answer::Broken),
                )) => {
                    // The silent connection stands; the next spare one is tried a heartbeat later.
                    spare = None;
                    until = Instant::now() + self.heartbeat;
                }
                Attended::Done((false, found)) => return Some(found),
            }
        }
    }

    async fn judge(&mut self, answer: Answer, asked: Instant) -> Duration {
        if answer == Answer::Broken {
            self.lose_link();
            self.ended_in_a_row += 1;
            if self.ended_in_a_row <= RETRIES_AT_ONCE {
                return Duration::ZERO;
            }
            self.tell_once(RedisView::Silent).await;
            let endpoint = &self.dialer.endpoint;
            self.problem(Some(format!("{endpoint} closes every connection without an answer.")));
            return self.heartbeat / 4;
        }
        self.ended_in_a_row = 0;
        let (view, info, problem) = view_of(&answer);
        let saves_ok = info.as_ref().is_none_or(|info| info.saves_ok);
        let misconf = !saves_ok && self.persistent();
        if let Some(info) = &info {
            self.watch_resyncs(info).await;
        }
        let problem = problem.map(|problem| format!("{}: {problem}", self.dialer.endpoint));
        self.problem(problem.or_else(|| misconf.then(|| MISCONF.to_owned())));
        match info {
            Some(info) => {
                if !self.meet(&info, asked).await {
                    return Duration::ZERO;
                }
                self.tell(view).await;
                self.next_beat = asked + self.heartbeat;
                let pause = self.work().await;
                // What is asked for meanwhile comes first.
                if self.grant_wishes().await { pause } else { Duration::ZERO }
            }
            None if view == RedisView::Busy => {
                self.extend_job();
                self.tell_once(view).await;
                self.pause_from(asked)
            }
            None => {
                self.lose_link();
                self.tell(view).await;
                self.fail_job(OrderError::Refused("this is not a Redis that can be used".into()))
                    .await;
                UNFIT_RETRY
            }
        }
    }

    /// Takes note of who answered what was asked at this time. `false` when the connection was lost
    /// over it.
    async fn meet(&mut self, info: &Info, asked: Instant) -> bool {
        let run = info.passport.run_id;
        self.run = Some(run);
        self.passport = Some(info.passport);
        let asked = asked.into_std();
        let crowd = info.clients.map(|clients| Crowd { run_id: run, clients, asked });
        self.board.crowd(crowd, matches!(self.charge, Charge::Local(_)));
        self.note_access();
        let Charge::Local(local) = &mut self.charge else { return true };
        if self.met == Some(run) {
            self.board.count(info);
            return true;
        }
        local.stale = Stale::Refused;
        let (Some(link), timeout) = (self.link.clone(), local.redis_timeout) else { return false };
        let (access, info) = (self.dialer.access.clone(), info.clone());
        let (masterauth, _) = access.replication();
        let look =
            async move { super::settings::first_contact(&link, &access, &info, timeout).await };
        match self.attend(Instant::now() + ANSWER_TIMEOUT, Box::pin(look)).await {
            Attended::Done(Some(met)) => {
                self.met = Some(run);
                self.renewal.begin_run(masterauth, met.locked_out);
                self.board.meet(met.facts);
            }
            // It became busy or silent in the middle: its settings are looked at next time.
            Attended::Done(None) | Attended::Late | Attended::Interrupted => {}
            Attended::Stop => return false,
        }
        true
    }

    pub async fn fail_job(&mut self, error: OrderError) {
        self.drop_saving();
        if let Some(job) = self.job.take() {
            self.send(Input::Done { id: job.id, outcome: Err(error) }).await;
        }
    }

    /// Redis has answered something: the order's time begins anew.
    pub fn extend_job(&mut self) {
        if let Some(job) = &mut self.job {
            job.until = Instant::now() + ANSWER_TIMEOUT;
        }
    }

    pub fn lose_link(&mut self) {
        self.link = None;
        self.run = None;
    }

    /// What remains until the next question: little while an order waits for a busy Redis.
    pub fn pause_from(&self, asked: Instant) -> Duration {
        let next = match self.job {
            Some(_) => asked + BUSY_RETRY,
            None => self.board.beat_after(asked.into_std(), self.heartbeat).into(),
        };
        next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    fn persistent(&self) -> bool {
        matches!(self.charge, Charge::Local(_)) && self.board.persistent()
    }

    fn problem(&mut self, problem: Option<String>) {
        if let Charge::Local(_) = self.charge {
            let all =
                problem.into_iter().chain(self.trouble.clone()).chain(self.renewal.problems());
            self.board.problems(all.collect());
        }
    }
}

/// Waits for this if it is there, else for ever.
async fn settled(what: Option<impl Future<Output = ()>>) {
    match what {
        Some(what) => what.await,
        None => std::future::pending().await,
    }
}
