//! One-shot questions to other Redis servers: dial, log in, `INFO`, hang up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::Dialer;
use super::contact::look;
use crate::election::{Input, RedisAddr, RedisView};

/// Probes that are out at once; more wait within their own deadline.
const AT_ONCE: usize = 64;
/// Addresses that are remembered as being asked. Beyond that many a question counts as unanswered.
const ADDRESSES: usize = 1024;

pub(super) struct Probes {
    deadline: Duration,
    inputs: mpsc::Sender<Input>,
    end: CancellationToken,
    slots: Arc<Semaphore>,
    asking: Arc<Mutex<BTreeSet<RedisAddr>>>,
}

impl Probes {
    pub fn new(deadline: Duration, inputs: mpsc::Sender<Input>, end: CancellationToken) -> Probes {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Probes { deadline, inputs, end, slots, asking: Arc::default() }
    }

    /// Asks this address, unless it is being asked already: then that answer serves both.
    pub fn begin(&self, dialer: Dialer, addr: RedisAddr) {
        let full = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            let full = asking.len() >= ADDRESSES;
            if !full && !asking.insert(addr) {
                return;
            }
            full
        };
        let (slots, asking) = (self.slots.clone(), self.asking.clone());
        let (inputs, deadline) = (self.inputs.clone(), self.deadline);
        let probe = async move {
            let view = if full {
                RedisView::Silent
            } else {
                let asked = timeout(deadline, async {
                    let _slot = slots.acquire().await;
                    look(dialer).await
                });
                let view = asked.await.unwrap_or(RedisView::Silent);
                asking.lock().unwrap_or_else(PoisonError::into_inner).remove(&addr);
                view
            };
            // Nobody listening means that the hive is ending.
            let _ = inputs.send(Input::Probed { addr, view }).await;
        };
        tokio::spawn(self.end.clone().run_until_cancelled_owned(probe));
    }
}
