use super::MAX_FRAME_LEN;

/// Appends to a frame. All that this crate writes fits; what did not would be cut off.
pub(super) struct Writer<'a> {
    buffer: &'a mut [u8; MAX_FRAME_LEN],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut [u8; MAX_FRAME_LEN]) -> Self {
        Self { buffer, len: 0 }
    }

    pub(super) fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some(slot) = self.buffer.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            *slot = *bytes;
            self.len = self.len.wrapping_add(N);
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}
