//! The first bytes of a reply, at the least cost.

/// Bytes of a frame that a lead has at most.
const LEAD_MAX: usize = 48;

/// The first bytes of a frame: copied if it comes in pieces, else only how many they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    bytes: [u8; LEAD_MAX],
    length: u8,
    /// The length at which it is complete: less than [`LEAD_MAX`] once bytes went by unseen.
    limit: u8,
    /// Whether they are in `bytes`.
    copied: bool,
}

impl Default for Lead {
    fn default() -> Lead {
        Lead { bytes: [0; LEAD_MAX], length: 0, limit: LEAD_MAX as u8, copied: false }
    }
}

impl Lead {
    /// A frame begins.
    pub(super) fn begin(&mut self) {
        self.length = 0;
        self.limit = LEAD_MAX as u8;
        self.copied = false;
    }

    /// The frame goes on; these bytes of it will be gone.
    pub(super) fn keep(&mut self, seen: &[u8]) {
        let free = self.bytes.get_mut(usize::from(self.length)..usize::from(self.limit));
        let free = free.unwrap_or_default();
        let count = free.len().min(seen.len());
        if let (Some(free), Some(seen)) = (free.get_mut(..count), seen.get(..count)) {
            free.copy_from_slice(seen);
        }
        self.length += count as u8;
        self.copied = true;
    }

    /// The frame goes on with bytes that are not seen: what comes behind them is not its beginning.
    pub(super) fn close(&mut self) {
        self.limit = self.length;
    }

    /// The frame ends: its rest is `input[from..end]`.
    pub(super) fn end(&mut self, input: &[u8], from: usize, end: usize) {
        if self.copied || from > 0 {
            self.keep(input.get(from..end).unwrap_or_default());
        } else {
            self.length = end.min(LEAD_MAX) as u8;
        }
    }

    /// The lead of a frame that ended in `input`.
    pub(super) fn of<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        let bytes = if self.copied { &self.bytes } else { input };
        bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}
