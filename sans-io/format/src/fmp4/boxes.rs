use bytes::{BufMut, Bytes, BytesMut};

/// Writes nested boxes; sizes are filled in when a box closes.
#[derive(Debug, Default)]
pub(super) struct Boxes {
    out: BytesMut,
}

impl Boxes {
    pub(super) fn with_capacity(len: usize) -> Self {
        Self {
            out: BytesMut::with_capacity(len),
        }
    }

    /// A box of kind `name` around what `content` writes.
    pub(super) fn nest(&mut self, name: &[u8; 4], content: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.out.put_u32(0);
        self.out.put_slice(name);
        content(self);
        let size = u32::try_from(self.out.len() - start).unwrap_or(u32::MAX);
        self.patch(start, size);
    }

    /// A box that begins with a version and 24 flags.
    pub(super) fn nest_full(
        &mut self,
        name: &[u8; 4],
        version: u8,
        flags: u32,
        content: impl FnOnce(&mut Self),
    ) {
        self.nest(name, |w| {
            w.u32(u32::from(version) << 24 | flags);
            content(w);
        });
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.out.put_u8(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.out.put_u16(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.out.put_u32(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.out.put_u64(value);
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    pub(super) fn zeros(&mut self, len: usize) {
        self.out.put_bytes(0, len);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// A parameter set behind its 16-bit length; `MAX_PARAMETER_SET` keeps it far below that.
    pub(super) fn with_len16(&mut self, bytes: &[u8]) {
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        self.bytes(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Overwrites four bytes written before.
    pub(super) fn patch(&mut self, position: usize, value: u32) {
        if let Some(field) = self.out.get_mut(position..position + 4) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    }

    pub(super) fn freeze(self) -> Bytes {
        self.out.freeze()
    }
}
