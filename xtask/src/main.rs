//! Chores: tests, benchmarks, generated files.
fn main() {}
