#!/bin/sh
# Prints the bytes of RAM that each part of a carp-fsm node takes on 32-bit processors,
# and fails if a virtual host with 4 addresses, less what it knows of its peer, has
# outgrown its limit.
set -eu
cd "$(dirname "$0")"

limit_host=320

printf '%-30s %-42s %6s\n' target part bytes
for target in thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf; do
    cargo build --quiet --release --locked --target "$target" --bin ram-size
    symbols=$(arm-none-eabi-nm -S -C -t d "target/$target/release/ram-size" 2>/dev/null)
    bytes() {
        echo "$symbols" | awk -v symbol="ram_size::$1" '$4 == symbol { print $2 + 0; found = 1 } END { exit !found }'
    }
    row() {
        printf '%-30s %-42s %6d\n' "$target" "$2" "$(bytes "$1")"
    }
    row HOST_SLOT 'HostSlot<4>: a host with 4 addresses'
    row HOST_CONFIG '  of it: HostConfig<4>'
    row ADDRESS_SET '    of it: AddressSet<4>'
    row AUTHENTICATOR '  of it: Authenticator'
    row MACHINE '  of it: Machine'
    row PEER_SEEN '  of it: PeerSeen'
    row INTERFACE_SLOT 'InterfaceSlot: an interface'
    row GROUP_SLOT 'GroupSlot: a group'
    row EVENT_SLOT 'EventSlot: an event that waits'
    row COUNTER_SLOT 'CounterSlot: a counter that is remembered'
    row KEY_SLOT 'KeySlot: a key of before a change'
    row PEER_SLOT 'PeerSlot: a unicast peer'
    row NEIGHBOUR_SLOT 'NeighbourSlot: a neighbour to tell of'
    row NODE 'Node, once'
    host=$(($(bytes HOST_SLOT) - $(bytes PEER_SEEN)))
    if [ "$host" -gt "$limit_host" ]; then
        echo "ram-size: a host with 4 addresses takes $host bytes without its peer, the limit is $limit_host" >&2
        exit 1
    fi
done
