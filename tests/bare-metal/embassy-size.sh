#!/bin/sh
# Prints what CARP adds to an embassy-net firmware with a TCP server and one virtual
# host, in bytes of flash and of static RAM (tasks included) at opt-level s, and fails
# if announce mode has outgrown its limit.
set -eu
cd "$(dirname "$0")"

# A little above what is measured, so that growth is noticed. The aim for flash is 20480.
limit_ram=2048

printf '%-30s %-28s %8s %8s %8s %8s\n' target firmware flash added RAM added
for target in thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf; do
    case $target in
        thumbv6m*) limit_flash=37800 ;;
        thumbv7em*) limit_flash=36000 ;;
        *) limit_flash=44800 ;;
    esac
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
        if [ "$kind" = announce ] && { [ "$added_flash" -gt "$limit_flash" ] || [ "$added_ram" -gt "$limit_ram" ]; }; then
            echo "embassy-size: announce mode adds more than $limit_flash bytes of flash or $limit_ram of RAM" >&2
            exit 1
        fi
    done
done
