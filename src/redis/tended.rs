//! Asks the watched master whether a hive has its connection to it (ELECTION 4.3). With ten thousand
//! clients the answer has megabytes: it is asked on a connection of its own, where `INFO` does not
//! wait behind it, and read piece by piece.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::CLIENT_NAME;
use super::connection::Dialer;
use super::wire::{Wire, WireError, foreign};
use crate::election::{Id, Input, NodeId, RedisAddr, RunId};

/// How long the whole question may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Questions that are out at once; those beyond are not asked.
const AT_ONCE: usize = 8;
/// The most that `INFO server` may have.
const INFO_MAX: usize = 64 << 10;

pub(super) struct Tending {
    inputs: mpsc::Sender<Input>,
    end: CancellationToken,
    asking: Arc<Mutex<BTreeSet<(RedisAddr, NodeId)>>>,
}

impl Tending {
    pub fn new(inputs: mpsc::Sender<Input>, end: CancellationToken) -> Tending {
        Tending { inputs, end, asking: Arc::default() }
    }

    /// Asks, unless this is being asked already: then that answer serves both.
    pub fn begin(&self, dialer: Dialer, addr: RedisAddr, node: NodeId) {
        {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            if asking.len() >= AT_ONCE || !asking.insert((addr, node)) {
                return;
            }
        }
        let (asking, inputs) = (self.asking.clone(), self.inputs.clone());
        let question = async move {
            let answer = timeout(DEADLINE, look(&dialer, node)).await;
            asking.lock().unwrap_or_else(PoisonError::into_inner).remove(&(addr, node));
            match answer {
                Ok(Ok((run_id, tended))) => {
                    // Nobody listening means that the hive is ending.
                    let _ = inputs.send(Input::Tended { addr, run_id, node, tended }).await;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%addr, ?error, "the master does not list its clients");
                }
                Err(_) => tracing::debug!(%addr, "the master does not list its clients in time"),
            }
        };
        tokio::spawn(self.end.clone().run_until_cancelled_owned(question));
    }
}

async fn look(dialer: &Dialer, node: NodeId) -> Result<(RunId, bool), WireError> {
    let mut wire = Wire::open(dialer, DEADLINE).await?;
    let info = wire.ask_text(&["INFO", "server"], INFO_MAX).await?;
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    let run_id = run_id.and_then(|id| Id::parse(id.trim_end())).ok_or_else(foreign)?;
    let mut left = wire.ask_bulk(&["CLIENT", "LIST"]).await?;
    let mut search = Search::new(format!(" name={CLIENT_NAME}{node} "));
    while left > 0 {
        let piece = wire.piece().await?;
        let count = piece.len().min(left);
        if search.finds(piece.get(..count).unwrap_or_default()) {
            return Ok((run_id, true));
        }
        wire.take(count);
        left -= count;
    }
    Ok((run_id, false))
}

/// Looks for a text in what comes in pieces.
struct Search {
    text: Vec<u8>,
    /// The end of what was looked through: the text may begin there.
    tail: Vec<u8>,
}

impl Search {
    /// `text` must not be empty.
    fn new(text: String) -> Search {
        Search { text: text.into_bytes(), tail: Vec::new() }
    }

    fn finds(&mut self, piece: &[u8]) -> bool {
        self.tail.extend_from_slice(piece);
        if self.tail.windows(self.text.len()).any(|window| window == self.text) {
            return true;
        }
        let done = (self.tail.len() + 1).saturating_sub(self.text.len());
        self.tail.drain(..done);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_the_pieces_are_cut() {
        let list = "id=1 name=redis-hive-watch-10.0.0.1:6390 age=1\nid=2 name=redis-hive-10.0.0.1:6390 age=0\n";
        for size in 1..list.len() {
            let finds = |text: &str| {
                let mut search = Search::new(text.to_owned());
                list.as_bytes().chunks(size).any(|piece| search.finds(piece))
            };
            assert!(finds(" name=redis-hive-10.0.0.1:6390 "), "pieces of {size}");
            assert!(!finds(" name=redis-hive-10.0.0.1:639 "), "pieces of {size}");
            assert!(!finds(" name=redis-hive-0.0.0.1:6390 "), "pieces of {size}");
        }
    }
}
