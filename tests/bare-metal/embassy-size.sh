#!/bin/sh
# Prints what CARP adds to an embassy-net firmware with a TCP server and one virtual
# host, in bytes of flash and of static RAM (tasks included) at opt-level s. The report
# holds them to limits (benches/limits.toml).
set -eu
cd "$(dirname "$0")"

printf '%-30s %-28s %8s %8s %8s %8s\n' target firmware flash added RAM added
for target in thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf; do
    for kind in stack announce second unicast accept; do
        cargo build --quiet --release --locked --target "$target" --bin embassy-size --features "$kind"
        # Address, size, name of section, in decimal.
        sections=$(arm-none-eabi-size -A -d "target/$target/release/embassy-size" 2>/dev/null)
        flash=$(echo "$sections" | awk '$1 ~ /^\.(text|rodata|data)/ { sum += $2 } END { print sum }')
        ram=$(echo "$sections" | awk '$1 ~ /^\.(data|bss)/ { sum += $2 } END { print sum + 0 }')
        case $kind in
            stack) name='without CARP' base_flash=$flash base_ram=$ram ;;
            announce) name='announce mode (shim)' ;;
            second) name='  and a second virtual host' ;;
            unicast) name='  and a unicast peer' ;;
            accept) name='accept mode (and a seat)' ;;
        esac
        added_flash=$((flash - base_flash)) added_ram=$((ram - base_ram))
        printf '%-30s %-28s %8d %8d %8d %8d\n' "$target" "$name" "$flash" "$added_flash" "$ram" "$added_ram"
    done
done
