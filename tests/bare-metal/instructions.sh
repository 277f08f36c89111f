#!/bin/sh
# Counts the instructions of each operation on emulated Cortex-M processors. Counts
# are the same in every run; the report holds them to limits (benches/limits.toml).
set -eu
cd "$(dirname "$0")"

for target in thumbv6m-none-eabi:mps2-an385 thumbv7em-none-eabihf:mps2-an386; do
    machine=${target#*:}
    target=${target%:*}
    cargo build --quiet --release --locked --target "$target" --bin instructions
    echo "$target on $machine"
    timeout 120 qemu-system-arm -M "$machine" -nographic -monitor none -serial none -nic none \
        -icount shift=3,sleep=off -semihosting-config enable=on,target=native \
        -kernel "target/$target/release/instructions"
done
