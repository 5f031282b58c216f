use std::collections::VecDeque;

/// Pieces shorter than this are put behind each other, so that a peer's tiny frames cost no more memory than large ones.
const SMALL: usize = 2 << 10;

/// How many times its bytes a buffer may hold.
const MAX_EMPTY: usize = 3;

/// Room for small pieces behind a first one.
const GATHERED: usize = 4 << 10;

/// Bytes of a stream that came together.
#[derive(Debug, Default)]
pub struct Chunk {
    /// All of it is initialised, and used again for other bytes.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Chunk {
    /// The first `len` bytes of `buffer`.
    pub(super) fn new(buffer: Vec<u8>, len: usize) -> Self {
        let to = len.min(buffer.len());
        Self {
            buffer,
            from: 0,
            to,
        }
    }

    /// What has not been taken.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// `n` bytes were taken.
    pub fn take(&mut self, n: usize) {
        self.from = self.to.min(self.from + n);
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Puts `bytes` behind what there is, if there is room.
    fn append(&mut self, bytes: &[u8]) -> bool {
        let end = self.to + bytes.len();
        match self.buffer.get_mut(self.to..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.to = end;
                true
            }
            None => false,
        }
    }
}

/// What came for a stream and was not read.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    chunks: VecDeque<Chunk>,
    len: usize,
}

impl Inbox {
    /// Takes bytes in; gives the buffer back that is not needed.
    pub(super) fn push(&mut self, chunk: Chunk) -> Option<Vec<u8>> {
        let bytes = chunk.bytes();
        self.len += bytes.len();
        let Some(last) = self.chunks.back_mut().filter(|_| bytes.len() < SMALL) else {
            if chunk.buffer.len() <= MAX_EMPTY * bytes.len() {
                self.chunks.push_back(chunk);
                return None;
            }
            // A large buffer with little in it would hold many times what was granted.
            self.chunks
                .push_back(Chunk::new(bytes.to_vec(), bytes.len()));
            return Some(chunk.into_buffer());
        };
        if !last.append(bytes) {
            let mut gathered = Chunk::new(vec![0; GATHERED], 0);
            gathered.append(bytes);
            self.chunks.push_back(gathered);
        }
        Some(chunk.into_buffer())
    }

    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.bytes().len();
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
        Some(chunk)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}
