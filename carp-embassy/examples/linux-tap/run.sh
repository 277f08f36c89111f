#!/usr/bin/env bash
# linux-tap and a carpd share 192.0.2.7, in network namespaces of their own. carpd is preferred; it is killed, returns,
# and ends with a bow-out. A client says each time who answers.
set -euo pipefail
cd "$(dirname "$0")"

if [ "${1:-}" != built ]; then
    echo ">>> building linux-tap and carpd"
    cargo build --quiet --locked
    cargo build --quiet --manifest-path ../../../Cargo.toml -p carpd
fi
# Namespaces need root; the build does not, and root may have no cargo.
[ "$(id -u)" = 0 ] || exec sudo -- "$PWD/run.sh" built
carpd=$(realpath ../../../target/debug/carpd)
program=$(realpath target/debug/linux-tap)

lab=carp-tap-$$
work=$(mktemp -d)
started=()
clean_up() {
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    for namespace in "$lab" "$lab-tap" "$lab-linux"; do
        ip netns delete "$namespace" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT

# A bridge with the client on it, in the middle; left a tap, right a cable to carpd.
for namespace in "$lab" "$lab-tap" "$lab-linux"; do
    ip netns add "$namespace"
done
middle() { ip -netns "$lab" "$@"; }
middle link set lo up
middle link add bridge type bridge
middle address add 192.0.2.9/24 dev bridge
middle link set bridge up
middle link add tap-side type veth peer name eth0 netns "$lab-tap"
middle link add linux-side type veth peer name eth0 netns "$lab-linux"
for port in tap-side linux-side; do
    middle link set "$port" master bridge up
done
ip -netns "$lab-linux" address add 192.0.2.2/24 dev eth0
ip -netns "$lab-linux" link set eth0 up
# The tap and its cable are bridged, so that the cable keeps its carrier when the program ends.
board() { ip -netns "$lab-tap" "$@"; }
board tuntap add mode tap name tap0
board link add bridge type bridge
board link set bridge up
for port in tap0 eth0; do
    board link set "$port" master bridge up
done

printf 'secret\n' >"$work/password"
chmod 600 "$work/password"
cat >"$work/carpd.toml" <<END
control_socket = "$work/carpd.sock"

[[vhid]]
interface = "eth0"
vhid = 7
addresses = ["192.0.2.7/24"]
password_file = "password"
preempt = true
END

ip netns exec "$lab-tap" "$program" tap0 192.0.2.1 192.0.2.7 7 secret 100 &
started+=($!)

start_carpd() {
    ip netns exec "$lab-linux" "$carpd" run --config "$work/carpd.toml" &
    daemon=$!
    started+=("$daemon")
}

# Waits until the board says hello on the virtual address, or until carpd has it, whose machine refuses.
await() {
    local answer
    for _ in $(seq 80); do
        answer=$(ip netns exec "$lab" bash -c 'timeout 1 cat </dev/tcp/192.0.2.7/7' 2>&1 || true)
        case $1:$answer in
            tap:*hello* | carpd:*refused*)
                echo ">>> 192.0.2.7 is answered by $1"
                return
                ;;
        esac
        sleep 0.2
    done
    echo ">>> 192.0.2.7 is not answered by $1: $answer" >&2
    exit 1
}

echo ">>> linux-tap is alone"
await tap
echo ">>> carpd starts, and is preferred"
start_carpd
await carpd
echo ">>> carpd is killed"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
await tap
echo ">>> carpd returns"
start_carpd
await carpd
echo ">>> carpd ends, with a bow-out"
kill "$daemon"
await tap
