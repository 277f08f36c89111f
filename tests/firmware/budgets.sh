#!/bin/sh
# Prints what carp-embassy costs: instructions and stack of each call on an emulated
# Cortex-M3, of which it fails if one is over its budget, then flash and RAM on three
# targets. The tables are in carp-embassy/README.md.
set -eu
cd "$(dirname "$0")"

cargo build --quiet --release --locked --target thumbv7m-none-eabi --bin budget
# Semihosting writes to stderr.
status=0
table=$(timeout 120 qemu-system-arm -M mps2-an385 -display none -monitor none -serial none -nic none \
    -icount shift=3,sleep=off -semihosting-config enable=on,target=native \
    -kernel target/thumbv7m-none-eabi/release/budget 2>&1) || status=$?
echo "$table" | grep -v 'nic lan9118.0 has no peer'
[ "$status" -eq 0 ]
exec ../bare-metal/embassy-size.sh
