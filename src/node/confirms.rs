//! When a route counts as taken over: when all endpoints have it.

use super::settings::Endpoint;

/// The newest route that each endpoint has confirmed. Numbers only grow.
#[derive(Debug)]
pub(super) struct Confirms {
    write: u64,
    read: u64,
    told: u64,
}

impl Confirms {
    /// With or without a read endpoint.
    pub fn new(reads: bool) -> Confirms {
        Confirms { write: 0, read: if reads { 0 } else { u64::MAX }, told: 0 }
    }

    /// One endpoint has this route; returns the newest that all have, if that is news.
    pub fn take(&mut self, endpoint: Endpoint, id: u64) -> Option<u64> {
        let place = match endpoint {
            Endpoint::Write => &mut self.write,
            Endpoint::Read => &mut self.read,
        };
        *place = id.max(*place);
        let all = self.write.min(self.read);
        let news = all > self.told;
        self.told = all;
        news.then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Endpoint::{Read, Write};

    #[test]
    fn both_endpoints_have_to_confirm() {
        let mut confirms = Confirms::new(true);
        let steps = [
            (Write, 1, None),
            (Read, 1, Some(1)),
            // What the read endpoint changes by itself has no number.
            (Read, 0, None),
            (Read, 3, None),
            (Write, 2, Some(2)),
            (Write, 3, Some(3)),
            (Write, 3, None),
        ];
        for (endpoint, id, told) in steps {
            assert_eq!(confirms.take(endpoint, id), told, "{endpoint:?} {id}");
        }
    }

    #[test]
    fn the_write_endpoint_alone_is_enough_where_there_is_no_other() {
        let mut confirms = Confirms::new(false);
        assert_eq!(confirms.take(Write, 7), Some(7));
    }
}
