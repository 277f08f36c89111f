#!/bin/sh
# Prints what each part of carp-proto and carp-fsm adds to a bare-metal image at
# opt-level s, in bytes of flash, and fails if a part has static RAM. Machine and node
# are what they add to an image that has all frames: once with what a firmware of one
# virtual host and one family cannot do without, and once with memory for everything
# and every public method.
# The compiler's own functions for copying and clearing memory are in a column of
# their own: an image of any size has them already. The report holds the figures to
# limits (benches/limits.toml).
set -eu
cd "$(dirname "$0")"

printf '%-30s %-26s %8s %8s %10s\n' target 'parts' flash 'memory' 'static RAM'
for target in thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf; do
    for part in codec auth frames explain smallest everything; do
        cargo build --quiet --release --locked --target "$target" --bin flash-size --features "$part"
        image=target/$target/release/flash-size
        # Address, size, name of section, in decimal.
        sections=$(arm-none-eabi-size -A -d "$image" 2>/dev/null)
        flash=$(echo "$sections" | awk '$1 ~ /^\.(text|rodata)/ { sum += $2 } END { print sum }')
        ram=$(echo "$sections" | awk '$1 ~ /^\.(data|bss)/ { sum += $2 } END { print sum + 0 }')
        memory=$(arm-none-eabi-nm -S -C -t d "$image" | awk '
            $4 ~ /^(mem(cpy|set|cmp|move)|__aeabi_mem.*|compiler_builtins::mem::.*)$/ && !seen[$1]++ { sum += $2 }
            END { print sum + 0 }')
        case $part in
            codec) parts='codec' ;;
            auth) parts='codec, auth' ;;
            frames) parts='codec, auth, frames' ;;
            explain) parts='codec .. explain' ;;
            smallest) parts='machine, node: smallest' ;;
            everything) parts='machine, node: everything' ;;
        esac
        own=$((flash - memory))
        [ "$part" != frames ] || frames=$own
        case $part in smallest | everything) own=$((own - frames)) ;; esac
        printf '%-30s %-26s %8d %8d %10d\n' "$target" "$parts" "$own" "$memory" "$ram"
        if [ "$ram" -ne 0 ]; then
            echo "flash-size: $parts has $ram bytes of static RAM, none is allowed" >&2
            exit 1
        fi
    done
done
