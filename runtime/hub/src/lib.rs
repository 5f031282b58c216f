//! Streams, rings, readers as cursors; knows no protocol.
