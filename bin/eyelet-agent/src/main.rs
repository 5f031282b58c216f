//! The small program in or beside a camera.
fn main() {}
