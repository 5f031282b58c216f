#!/bin/sh
# Writes fuzz/fuzz_targets/NAME.rs and the list in fuzz/Cargo.toml for every target of fuzz/targets.
set -eu
cd "$(dirname "$0")"
names=$(sed -n 's/^ *("\([a-z0-9_]*\)", \(.*\)),$/\1 \2/p' targets/src/lib.rs)
{
  cat <<'HEAD'
# Programs for cargo-fuzz; written by make-programs.sh. Needs a nightly compiler, so it is no member
# of the workspace: `cargo +nightly fuzz run NAME`.
[package]
name = "fuzz"
version = "0.1.0"
edition = "2024"
license = "MIT"
publish = false

[package.metadata]
cargo-fuzz = true

[workspace]

[dependencies]
fuzz-targets = { path = "targets" }
libfuzzer-sys = "0.4"
HEAD
  echo "$names" | while read -r name _; do
    printf '\n[[bin]]\nname = "%s"\npath = "fuzz_targets/%s.rs"\ntest = false\ndoc = false\nbench = false\n' "$name" "$name"
  done
} >Cargo.toml
mkdir -p fuzz_targets
echo "$names" | while read -r name path; do
  cat >"fuzz_targets/$name.rs" <<BODY
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::$path(data));
BODY
done
