//! How a keeper waits: never without hearing its commands, telling what it sees, and ending what has
//! run out of time.

use std::future::Future;

use tokio::time::Instant;

use super::fence;
use super::keeper::{Charge, Command, Keeper, Stale};
use super::rescue::Saving;
use crate::election::{Input, OrderError, RedisView};

/// Probes of one address that wait for the same answer.
const PROBES: usize = 8;

/// How a wait ended.
pub(super) enum Attended<T> {
    Done(T),
    Late,
    /// Something was asked for that cannot wait.
    Interrupted,
    /// Nobody needs this keeper any more.
    Stop,
}

impl Keeper {
    /// Waits for `what` until `until`, doing meanwhile what cannot wait: it takes commands, repeats a
    /// view that is no answer every heartbeat, and ends orders and probes whose time is up.
    pub async fn attend<T>(
        &mut self,
        until: Instant,
        what: impl Future<Output = T>,
    ) -> Attended<T> {
        let mut what = std::pin::pin!(what);
        loop {
            let wake = [Some(until), self.beat(), self.job.map(|job| job.until)];
            let wake = wake.into_iter().flatten().chain(self.probes.front().copied()).min();
            let alarm = &mut self.alarm;
            let late = async move {
                alarm.reached(wake.unwrap_or(until).into_std()).await;
                // An answer that came before that counts, whatever this process was kept from.
                tokio::task::yield_now().await;
            };
            tokio::select! { biased;
                done = what.as_mut() => return Attended::Done(done),
                command = self.commands.recv() => match command {
                    None => {
                        self.stop = true;
                        return Attended::Stop;
                    }
                    Some(command) => if self.take(command) {
                        return Attended::Interrupted;
                    }
                },
                () = late => {}
            }
            let now = Instant::now();
            self.expire(now).await;
            if self.stop {
                return Attended::Stop;
            }
            if now >= until {
                return Attended::Late;
            }
        }
    }

    /// When a view that no answer repeats is told again.
    pub fn beat(&self) -> Option<Instant> {
        let view = self.view?;
        (!matches!(view, RedisView::Up(_) | RedisView::Busy)).then_some(self.next_beat)
    }

    async fn expire(&mut self, now: Instant) {
        if self.beat().is_some_and(|beat| now >= beat)
            && let Some(view) = self.view
        {
            self.tell(view).await;
        }
        if self.saving.as_mut().is_some_and(Saving::takes_its_time) {
            // How long a save may stand still is for itself to say.
            self.extend_job();
        }
        if self.job.is_some_and(|job| now >= job.until) {
            let error = match self.view {
                Some(RedisView::Gone) => OrderError::Gone,
                _ => OrderError::Silent,
            };
            self.fail_job(error).await;
        }
        while self.probes.front().is_some_and(|until| now >= *until) {
            self.probes.pop_front();
            let view = match self.view {
                Some(view @ (RedisView::Gone | RedisView::Unfit | RedisView::Busy)) => view,
                _ => RedisView::Silent,
            };
            self.send_probed(view).await;
        }
    }

    /// Takes a command; `true` if the loop must turn to it at once.
    fn take(&mut self, command: Command) -> bool {
        match command {
            Command::Order(job) => {
                self.drop_saving();
                self.job = Some(job);
                true
            }
            Command::Fence { run_id, to, lifted } => {
                if let (Some(link), true) = (self.link.clone(), self.run == Some(run_id)) {
                    fence::stand(link, to, lifted);
                } else {
                    tracing::debug!(%to, "no open connection to the master that is to be fenced");
                }
                false
            }
            Command::Probe { until } => {
                if self.probes.len() < PROBES {
                    self.probes.push_back(until);
                }
                true
            }
            Command::MinReplicas(wish) => {
                self.min_replicas = Some(wish);
                true
            }
            Command::ServeStale => match &mut self.charge {
                Charge::Local(local) if local.stale == Stale::Refused => {
                    local.stale = Stale::Wanted;
                    true
                }
                _ => false,
            },
        }
    }

    /// Tells what is seen unless it was told within this heartbeat.
    pub async fn tell_once(&mut self, view: RedisView) {
        let told = self.view == Some(view) && Instant::now() < self.next_beat;
        if !told || !self.probes.is_empty() {
            self.tell(view).await;
        }
    }

    /// Tells what is seen, to whoever waits for it.
    pub async fn tell(&mut self, view: RedisView) {
        self.view = Some(view);
        self.next_beat = Instant::now() + self.heartbeat;
        let input = match &self.charge {
            Charge::Local(_) => Input::Redis(view),
            Charge::Watched(addr) => Input::Watched { addr: *addr, view },
        };
        self.send(input).await;
        while self.probes.pop_front().is_some() {
            self.send_probed(view).await;
        }
    }

    async fn send_probed(&mut self, view: RedisView) {
        if let Charge::Watched(addr) = self.charge {
            self.send(Input::Probed { addr, view }).await;
        }
    }

    pub async fn send(&mut self, input: Input) {
        if self.inputs.send(input).await.is_err() {
            self.stop = true;
        }
    }
}
