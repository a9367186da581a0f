//! The first bytes of a reply, at the least cost.

/// Bytes of a frame that a lead has at most.
const LEAD_MAX: usize = 48;

/// The first bytes of a frame that comes in pieces. Nothing where it came whole: they are in the
/// input then, and idle sessions are many.
#[derive(Clone, Debug, Default)]
pub(super) struct Lead(Option<Box<Copied>>);

#[derive(Clone, Debug)]
struct Copied {
    bytes: [u8; LEAD_MAX],
    length: usize,
    /// The length at which it is complete: less than [`LEAD_MAX`] once bytes went by unseen.
    limit: usize,
}

impl Lead {
    /// A frame begins.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.0 = None;
    }

    /// The frame goes on; these bytes of it will be gone.
    pub(super) fn keep(&mut self, seen: &[u8]) {
        let copied = self.copied();
        let free = copied.bytes.get_mut(copied.length..copied.limit).unwrap_or_default();
        let count = free.len().min(seen.len());
        if let (Some(free), Some(seen)) = (free.get_mut(..count), seen.get(..count)) {
            free.copy_from_slice(seen);
        }
        copied.length += count;
    }

    /// The frame goes on with bytes that are not seen: what comes behind them is not its beginning.
    pub(super) fn close(&mut self) {
        let copied = self.copied();
        copied.limit = copied.length;
    }

    /// The frame ends: its rest is `input[from..end]`.
    #[inline]
    pub(super) fn end(&mut self, input: &[u8], from: usize, end: usize) {
        if self.0.is_some() || from > 0 {
            self.keep(input.get(from..end).unwrap_or_default());
        }
    }

    /// The lead of a frame that ended with `whole`.
    #[inline]
    pub(super) fn of<'a>(&'a self, whole: &'a [u8]) -> &'a [u8] {
        let bytes = match &self.0 {
            Some(copied) => copied.bytes.get(..copied.length),
            None => whole.get(..whole.len().min(LEAD_MAX)),
        };
        bytes.unwrap_or_default()
    }

    fn copied(&mut self) -> &mut Copied {
        let none = || Box::new(Copied { bytes: [0; LEAD_MAX], length: 0, limit: LEAD_MAX });
        self.0.get_or_insert_with(none)
    }
}
