//! Bitstream and container formats, a module each.
