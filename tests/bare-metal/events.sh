#!/bin/sh
# Counts the instructions of what happens to a node of one virtual host, on emulated
# Cortex-M processors, and fails if an event takes more than it may. Counts are the
# same in every run.
set -eu
cd "$(dirname "$0")"

for target in thumbv6m-none-eabi:mps2-an385 thumbv7em-none-eabihf:mps2-an386; do
    machine=${target#*:}
    target=${target%:*}
    cargo build --quiet --release --locked --target "$target" --bin instructions --features events
    echo "$target on $machine"
    timeout 120 qemu-system-arm -M "$machine" -nographic -monitor none -serial none -nic none \
        -icount shift=3,sleep=off -semihosting-config enable=on,target=native \
        -kernel "target/$target/release/instructions"
done
