//! Settings that are wished for and repeated until the run they are for has taken them.

use tokio::time::Instant;

use super::attend::Attended;
use super::keeper::{ANSWER_TIMEOUT, Charge, Keeper, Stale};
use super::settings::{self, STALE};
use crate::election::RunId;

/// How many replicas a master must have to take writes.
const MIN_REPLICAS: &str = "min-replicas-to-write";

/// A number of replicas for one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct MinReplicas {
    pub run_id: RunId,
    pub replicas: u32,
}

impl Keeper {
    /// Tries what is wished for, on a Redis that has just answered. `false` when something came that
    /// cannot wait.
    pub(super) async fn grant_wishes(&mut self) -> bool {
        self.serve_stale().await && self.set_min_replicas().await && self.renew().await
    }

    async fn serve_stale(&mut self) -> bool {
        if !matches!(&self.charge, Charge::Local(local) if local.stale == Stale::Wanted) {
            return true;
        }
        match self.try_to_set(STALE, "yes".to_owned()).await {
            Some(true) => {
                if let Charge::Local(local) = &mut self.charge {
                    local.stale = Stale::Served;
                }
                true
            }
            Some(false) => true,
            None => false,
        }
    }

    async fn set_min_replicas(&mut self) -> bool {
        let Some(wish) = self.min_replicas.filter(|wish| self.run == Some(wish.run_id)) else {
            return true;
        };
        match self.try_to_set(MIN_REPLICAS, wish.replicas.to_string()).await {
            Some(true) => {
                self.min_replicas = None;
                true
            }
            Some(false) => true,
            None => false,
        }
    }

    /// `Some(true)` when Redis has answered, one way or the other; a refusal is told. `None` when a
    /// command came.
    async fn try_to_set(&mut self, name: &'static str, value: String) -> Option<bool> {
        let Some(link) = self.link.clone() else { return Some(false) };
        let set = {
            let value = value.clone();
            async move { settings::set(&link, name, &value).await }
        };
        match self.attend(Instant::now() + ANSWER_TIMEOUT, Box::pin(set)).await {
            Attended::Done(Some(Ok(()))) => Some(true),
            Attended::Done(Some(Err(text))) => {
                self.board.warn(format!(
                    "The Redis at {} refused CONFIG SET {name} {value}: {text}",
                    self.dialer.endpoint
                ));
                Some(true)
            }
            Attended::Done(None) | Attended::Late => Some(false),
            Attended::Interrupted | Attended::Stop => None,
        }
    }
}
