//! See any camera from anywhere: the gateway.
fn main() {}
