#!/bin/sh
# Links images whose panic handler calls a function that does not exist: they link
# only if no panic is left in anything that carp-proto, carp-fsm and carp-embassy do. One with a planted
# panic must not link, or the proof would prove nothing.
set -eu
cd "$(dirname "$0")"

for target in thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf; do
    cargo build --quiet --release --locked --target "$target" --bin panic-free --features follow
    echo "$target: no panic is left"
    if errors=$(cargo build --quiet --release --locked --target "$target" --bin panic-free \
        --features follow,plant-a-panic 2>&1); then
        echo "$target: a planted panic was not noticed" >&2
        exit 1
    fi
    case $errors in
        *a_panic_is_left*) ;;
        *)
            echo "$errors" >&2
            echo "$target: failed for another reason than the planted panic" >&2
            exit 1
            ;;
    esac
done
