#!/usr/bin/env bash
# Builds for 64-bit ARM on Debian 12; see README.md beside this file.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
linker=aarch64-linux-gnu-gcc

if [ "${1:-}" = packages ]; then
  dpkg --add-architecture arm64
  apt-get update -qq
  apt-get install -y --no-install-recommends rustc-web libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static libc6:arm64
  exit 0
fi

command -v "$linker" >/dev/null || { echo "$linker is missing; run first: sudo cross/build-arm64.sh packages" >&2; exit 1; }
export RUSTC=/usr/bin/rustc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
export CC_aarch64_unknown_linux_gnu=$linker
cargo build --release --locked --target "$target" --bin showfloor
echo "built ${CARGO_TARGET_DIR:-target}/$target/release/showfloor"
