//! Viewer side: one output per streaming format.
