//! Orders to a Redis (ELECTION 7), the local or the watched one: over the identified connection,
//! right after it answered.
//!
//! Linux hands a process what arrived before a reset, so resetting a connection does not take back
//! an order that a stopped Redis has not read yet (`tests/redis_facts.rs`). Three things stand in:
//! an order is sent only after a question was answered on the same connection; an order that
//! supersedes an unanswered one is sent right behind it, where Redis executes both before it turns to
//! anybody else; and behind a promotion that is given up unanswered goes `REPLICAOF 127.0.0.1 1`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::attend::Attended;
use super::connection::{Answer, Dialer, Link};
use super::fence::replica_of;
use super::info::Info;
use super::keeper::{ANSWER_TIMEOUT, Job, Keeper};
use crate::election::{Input, OrderError, Passport, RedisAddr, RedisOrder, RedisRole, RedisView};

/// Longest wait for a backlog to begin.
const BACKLOG_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it is asked whether the backlog has begun.
const BACKLOG_POLL: Duration = Duration::from_millis(2);
/// How long a promotion's undoing is left standing on a Redis that does not answer.
const UNDO_TIMEOUT: Duration = Duration::from_secs(60);

/// How one order went.
enum Step {
    /// It has ended, one way or the other.
    Ended,
    /// A newer one took its place.
    Superseded,
    /// Ask Redis again after this time.
    Again(Duration),
}

impl Keeper {
    /// Executes the order that is out, on a Redis that has just answered. Returns how long to wait
    /// for the next question.
    pub(super) async fn work(&mut self) -> Duration {
        let asked = Instant::now();
        let mut unanswered: Option<(Arc<Link>, Job)> = None;
        while let (Some(job), Some(link)) = (self.job, self.link.clone()) {
            if self.run != Some(job.run_id) {
                self.fail_job(OrderError::OtherRun).await;
                continue;
            }
            if let Some((link, promotion)) = unanswered.take_if(|(_, it)| it.order.promotes())
                && job.order.leaves_role()
            {
                // Nothing in this order takes the promotion back.
                self.give_up(link, promotion);
                return Duration::ZERO;
            }
            if let Some(pause) = self.rescue(job).await {
                return pause;
            }
            self.job = None;
            match self.execute(&link, job).await {
                Step::Ended => {}
                Step::Superseded => unanswered = Some((link, job)),
                Step::Again(pause) => return pause,
            }
        }
        if let Some((link, job)) = unanswered {
            // What superseded it was not for this run: there is nothing to send behind it.
            self.give_up(link, job);
            return Duration::ZERO;
        }
        if self.link.is_none() {
            return Duration::ZERO;
        }
        self.pause_from(asked)
    }

    async fn execute(&mut self, link: &Arc<Link>, job: Job) -> Step {
        let before = self.passport;
        if matches!(job.order, RedisOrder::Park | RedisOrder::Rescue)
            && before.is_some_and(|it| it.role == RedisRole::Master && it.keys > 0 && !it.backlog)
            && let Some(step) = self.begin_backlog(link, job).await
        {
            return step;
        }
        let sent = link.clone();
        let command = command(job.order);
        match self.wait(ANSWER_TIMEOUT, async move { sent.ask(&command).await }).await {
            Attended::Done(answer) => self.answered(link, job, answer).await,
            Attended::Late => {
                self.give_up(link.clone(), job);
                self.tell(RedisView::Silent).await;
                self.end(job, Err(OrderError::Silent)).await
            }
            Attended::Interrupted => Step::Superseded,
            Attended::Stop => {
                self.give_up(link.clone(), job);
                self.end(job, Err(OrderError::Gone)).await
            }
        }
    }

    async fn answered(&mut self, link: &Arc<Link>, job: Job, answer: Answer) -> Step {
        match answer {
            Answer::Text(_) => {}
            Answer::Busy => return self.repeat(job),
            Answer::Broken | Answer::Untrusted(_) => return self.redial(job).await,
            Answer::Error(text) | Answer::Denied(text) => {
                self.end(job, Err(OrderError::Refused(text))).await;
                return Step::Again(Duration::ZERO);
            }
            Answer::Foreign | Answer::List(_) => {
                self.lose_link();
                return self.end(job, Err(OrderError::Gone)).await;
            }
        }
        if job.order == (RedisOrder::Promote { first: true })
            && let Some(step) = self.begin_backlog(link, job).await
        {
            return step;
        }
        // Its writers learn what it is now, which their proxies wait for, and a new master's stream
        // does not wait for the pause.
        match job.order {
            RedisOrder::PauseWrites { .. } => self.pause_ordered = true,
            RedisOrder::ResumeWrites => self.pause_ordered = false,
            _ => {}
        }
        let paused = self.paused_here || self.pause_ordered;
        let resume = paused && !matches!(job.order, RedisOrder::PauseWrites { .. });
        let demoted =
            resume && !matches!(job.order, RedisOrder::Promote { .. } | RedisOrder::ResumeWrites);
        let asked = link.clone();
        let asked = async move {
            if resume && !demoted {
                asked.ask(&command(RedisOrder::ResumeWrites)).await;
            }
            let answer = asked.info().await;
            let refuses = matches!(&answer, Answer::Text(info) if refuses_writes(info));
            if demoted && refuses {
                asked.ask(&command(RedisOrder::ResumeWrites)).await;
            }
            (answer, resume && (!demoted || refuses))
        };
        match self.wait(ANSWER_TIMEOUT, asked).await {
            Attended::Done((Answer::Text(text), resumed)) => match Info::parse(&text) {
                Ok(info) => {
                    self.paused_here &= !resumed;
                    self.pause_ordered &= !resumed;
                    self.passport = Some(info.passport);
                    self.tell(RedisView::Up(info.passport)).await;
                    self.end(job, Ok(info.passport)).await
                }
                Err(error) => self.end(job, Err(OrderError::Refused(error.to_string()))).await,
            },
            Attended::Done((Answer::Busy, _)) => self.repeat(job),
            Attended::Done(_) => self.redial(job).await,
            // It was executed: nothing has to be undone.
            Attended::Late => {
                self.lose_link();
                self.tell(RedisView::Silent).await;
                self.end(job, Err(OrderError::Silent)).await
            }
            Attended::Interrupted => Step::Superseded,
            Attended::Stop => self.end(job, Err(OrderError::Gone)).await,
        }
    }

    /// Waits like [`Keeper::attend`], interrupted by nothing but a newer order.
    async fn wait<T>(&mut self, span: Duration, what: impl Future<Output = T>) -> Attended<T> {
        let until = Instant::now() + span;
        let mut what = std::pin::pin!(what);
        loop {
            match self.attend(until, what.as_mut()).await {
                Attended::Interrupted if self.job.is_none() => {}
                other => return other,
            }
        }
    }

    /// Makes the offset of this master count (ELECTION 2.5): a replica that asks for a full copy and
    /// hangs up. `None` to go on: whether the backlog began is in the passport that is read next.
    async fn begin_backlog(&mut self, link: &Arc<Link>, job: Job) -> Option<Step> {
        let begun = begin_backlog(self.dialer.clone(), link.clone());
        match self.wait(BACKLOG_TIMEOUT, begun).await {
            Attended::Interrupted => Some(Step::Superseded),
            Attended::Stop => Some(self.end(job, Err(OrderError::Gone)).await),
            Attended::Done(()) | Attended::Late if link.is_over() => Some(self.redial(job).await),
            Attended::Done(()) | Attended::Late => None,
        }
    }

    async fn end(&mut self, job: Job, outcome: Result<Passport, OrderError>) -> Step {
        self.drop_saving();
        self.send(Input::Done { id: job.id, outcome }).await;
        Step::Ended
    }

    /// The order was refused because Redis is busy or loading: it stays out.
    fn repeat(&mut self, job: Job) -> Step {
        self.job.get_or_insert(job);
        self.extend_job();
        Step::Again(self.pause_from(Instant::now()))
    }

    /// The connection broke: whether the order was executed is unknown. Until its time is up it is
    /// given again to the same run, where repeating it changes nothing.
    async fn redial(&mut self, job: Job) -> Step {
        self.lose_link();
        if self.job.is_none() && Instant::now() >= job.until {
            return self.end(job, Err(OrderError::Gone)).await;
        }
        self.job.get_or_insert(job);
        Step::Again(Duration::ZERO)
    }

    /// Gives up a connection with an unanswered order on it.
    fn give_up(&mut self, link: Arc<Link>, job: Job) {
        self.lose_link();
        if !job.order.promotes() {
            link.close();
            return;
        }
        tokio::spawn(async move {
            let _ = timeout(UNDO_TIMEOUT, link.ask(&replica_of(RedisAddr::PARKED))).await;
            link.close();
        });
    }
}

/// Whether a replica takes no writes of clients: what waits at one that does would be done there, and
/// nowhere else.
fn refuses_writes(info: &str) -> bool {
    info.lines().any(|line| line == "slave_read_only:1")
}

impl RedisOrder {
    fn promotes(self) -> bool {
        matches!(self, RedisOrder::Promote { .. })
    }

    /// Whether Redis is what it was before, master or replica, after this order.
    fn leaves_role(self) -> bool {
        matches!(self, RedisOrder::PauseWrites { .. } | RedisOrder::ResumeWrites)
    }
}

pub(super) fn command(order: RedisOrder) -> redis::Cmd {
    match order {
        RedisOrder::Park => replica_of(RedisAddr::PARKED),
        RedisOrder::Follow(addr) => replica_of(addr),
        RedisOrder::Promote { .. } => redis::cmd("REPLICAOF").arg("NO").arg("ONE").clone(),
        RedisOrder::PauseWrites { ms } => {
            redis::cmd("CLIENT").arg("PAUSE").arg(ms).arg("WRITE").clone()
        }
        RedisOrder::ResumeWrites => redis::cmd("CLIENT").arg("UNPAUSE").clone(),
        RedisOrder::Rescue => replica_of(RedisAddr::PARKED),
    }
}

/// Opens `PSYNC ? -1` on a connection of its own and closes it as soon as `link` says that there is
/// a backlog, or when the copy is refused.
async fn begin_backlog(dialer: Dialer, link: Arc<Link>) {
    if has_backlog(&link).await != Some(false) {
        return;
    }
    let Some(copier) = dialer.enter().await else { return };
    // With `capa eof` no file is written: the copy would go straight to the socket.
    copier.ask(redis::cmd("REPLCONF").arg("capa").arg("eof").arg("capa").arg("psync2")).await;
    let psync = redis::cmd("PSYNC").arg("?").arg(-1).clone();
    let asked = std::pin::pin!(copier.ask(&psync));
    let seen = async {
        while has_backlog(&link).await == Some(false) {
            sleep(BACKLOG_POLL).await;
        }
    };
    tokio::select! {
        answer = asked => match answer {
            Answer::Text(_) => while has_backlog(&link).await == Some(false) {
                sleep(BACKLOG_POLL).await;
            },
            refused => tracing::warn!(reason = ?refused, "Redis does not begin its backlog"),
        },
        () = seen => {}
    }
}

async fn has_backlog(link: &Link) -> Option<bool> {
    match link.info().await {
        Answer::Text(text) => Info::parse(&text).ok().map(|info| info.passport.backlog),
        _ => None,
    }
}
