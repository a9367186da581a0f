//! What people asked for and have not been answered yet.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::election::{Input, Verdict};
use crate::http::{Asked, Told};

/// So many may wait for an answer at the same time.
const WAITING_MAX: usize = 64;

/// The questions under way, by the token the core answers with.
#[derive(Default)]
pub(super) struct Asks {
    waiting: BTreeMap<u64, oneshot::Sender<Told>>,
    token: u64,
}

impl Asks {
    /// Takes a question; `None`: it was turned away, and has been told so.
    pub fn take(&mut self, asked: Asked) -> Option<Input> {
        self.waiting.retain(|_, told| !told.is_closed());
        if self.waiting.len() >= WAITING_MAX {
            let text = format!("{WAITING_MAX} questions wait for an answer already: ask again");
            // Whoever hung up does not miss it.
            let _ = asked.told.send(Told { verdict: Verdict::Conflict, text });
            return None;
        }
        self.token += 1;
        self.waiting.insert(self.token, asked.told);
        Some(Input::Ask { token: self.token, ask: asked.ask })
    }

    /// Passes the answer on, if somebody still waits for it.
    pub fn answer(&mut self, token: u64, verdict: Verdict, text: String) {
        if let Some(told) = self.waiting.remove(&token) {
            let _ = told.send(Told { verdict, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::Ask;

    fn ask(asks: &mut Asks) -> (Option<u64>, oneshot::Receiver<Told>) {
        let (told, answer) = oneshot::channel();
        let token = match asks.take(Asked { ask: Ask::Pause, told }) {
            Some(Input::Ask { token, .. }) => Some(token),
            _ => None,
        };
        (token, answer)
    }

    #[test]
    fn everybody_gets_the_answer_to_their_own_question() {
        let mut asks = Asks::default();
        let (first, mut one) = ask(&mut asks);
        let (second, mut two) = ask(&mut asks);
        asks.answer(second.expect("taken"), Verdict::Done, "two".to_owned());
        asks.answer(99, Verdict::Done, "nobody asked".to_owned());
        assert!(one.try_recv().is_err(), "not answered yet");
        assert_eq!(two.try_recv().expect("answered").text, "two");
        asks.answer(first.expect("taken"), Verdict::Failed, "one".to_owned());
        assert_eq!(one.try_recv().expect("answered").verdict, Verdict::Failed);
    }

    #[test]
    fn questions_are_bounded_and_those_who_left_make_room() {
        let mut asks = Asks::default();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| ask(&mut asks).1).collect();
        let (token, mut answer) = ask(&mut asks);
        assert_eq!(token, None);
        assert_eq!(answer.try_recv().expect("told at once").verdict, Verdict::Conflict);
        waiting.pop();
        assert!(ask(&mut asks).0.is_some());
    }
}
