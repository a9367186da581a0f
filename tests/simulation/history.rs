//! What the data is: a tree of writes. A copy is a place in it, so that copies are cheap to take and to compare.

/// A copy's content: the first `len` writes of the line that ends in segment `seg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    seg: u32,
    len: u32,
}

impl Data {
    /// Nothing, and no history: a Redis as it starts.
    pub const BLANK: Data = Data { seg: 0, len: 0 };

    pub fn is_blank(self) -> bool {
        self.seg == 0
    }

    /// How many writes it holds: every write of the model sets a key of its own.
    pub fn keys(self) -> u64 {
        u64::from(self.len)
    }
}

/// A write: an index into [`Histories`].
pub type WriteId = u32;

#[derive(Clone, Copy, Debug)]
struct Segment {
    parent: Data,
    end: u32,
}

/// All writes ever executed, by whom they were followed, and which were acknowledged.
#[derive(Debug)]
pub struct Histories {
    segments: Vec<Segment>,
    /// Where each write stands: the copy right after it.
    writes: Vec<Data>,
    acked: Vec<bool>,
    acknowledged: usize,
}

impl Histories {
    pub fn new() -> Histories {
        Histories {
            segments: vec![Segment { parent: Data::BLANK, end: 0 }],
            writes: Vec::new(),
            acked: Vec::new(),
            acknowledged: 0,
        }
    }

    /// A new history without writes: a blank Redis was made master.
    pub fn found(&mut self) -> Data {
        self.fork(Data::BLANK)
    }

    fn fork(&mut self, parent: Data) -> Data {
        self.segments.push(Segment { parent, end: parent.len });
        Data { seg: (self.segments.len() - 1) as u32, len: parent.len }
    }

    /// Executes one write on a copy; two copies that continue from the same place fork.
    pub fn write(&mut self, data: &mut Data) -> WriteId {
        if data.seg == 0 {
            *data = self.found();
        } else if self.segments[data.seg as usize].end != data.len {
            *data = self.fork(*data);
        }
        data.len += 1;
        self.segments[data.seg as usize].end = data.len;
        self.writes.push(*data);
        self.acked.push(false);
        (self.writes.len() - 1) as WriteId
    }

    pub fn ack(&mut self, write: WriteId) {
        let acked = &mut self.acked[write as usize];
        self.acknowledged += usize::from(!*acked);
        *acked = true;
    }

    /// The copy right after a write.
    pub fn place(&self, write: WriteId) -> Data {
        self.writes[write as usize]
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Whether `early` is where `late` came by.
    pub fn is_prefix(&self, early: Data, late: Data) -> bool {
        let mut at = late;
        loop {
            if at.seg == early.seg {
                return early.len <= at.len;
            }
            if at.seg == 0 {
                return early.is_blank();
            }
            at = self.segments[at.seg as usize].parent;
        }
    }

    /// The history a copy belongs to; 0 for a blank one.
    pub fn root(&self, data: Data) -> u32 {
        let mut seg = data.seg;
        while seg != 0 && self.segments[seg as usize].parent.seg != 0 {
            seg = self.segments[seg as usize].parent.seg;
        }
        seg
    }

    /// How many acknowledged writes `have` holds that `other` does not.
    pub fn acked_beyond(&self, have: Data, other: Data) -> usize {
        if self.is_prefix(have, other) {
            return 0;
        }
        (0..self.writes.len())
            .filter(|&i| self.acked[i])
            .filter(|&i| self.is_prefix(self.writes[i], have))
            .filter(|&i| !self.is_prefix(self.writes[i], other))
            .count()
    }

    /// How many acknowledged writes a copy lacks.
    pub fn lost(&self, data: Data) -> usize {
        (0..self.writes.len())
            .filter(|&i| self.acked[i] && !self.is_prefix(self.writes[i], data))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_continue_from_the_same_place_fork() {
        let mut all = Histories::new();
        let mut a = all.found();
        let first = all.write(&mut a);
        let mut b = a;
        let on_a = all.write(&mut a);
        let on_b = all.write(&mut b);
        [first, on_a, on_b].into_iter().for_each(|write| all.ack(write));

        assert_ne!(a, b);
        assert_eq!(all.root(a), all.root(b));
        assert!(!all.is_prefix(a, b) && !all.is_prefix(b, a));
        assert_eq!((all.lost(a), all.lost(b)), (1, 1));
        assert_eq!(all.acked_beyond(a, b), 1);
        assert!(all.is_prefix(Data::BLANK, a));
        let other = all.found();
        assert_ne!(all.root(other), all.root(a));
        assert_eq!(all.lost(other), 3);
    }
}
