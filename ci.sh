#!/usr/bin/env bash
# The one check of this project, for people and for CI.
#
#   ./ci.sh          format, lints, bare-metal and cross builds, documentation, tests (minutes)
#   ./ci.sh full     that, and everything slower: see the steps at the end of this file
#   ./ci.sh test     only the tests
#
# Installs what it lacks if it runs as root on Debian or Ubuntu (ucarp, tcpdump, ..) and through
# rustup (targets). Tests that need root or a tool say that they are left out; with CI=true they fail.
set -euo pipefail
cd "$(dirname "$0")"

mode=${1:-fast}
case $mode in fast | full | test) ;; *)
    echo "usage: ./ci.sh [full|test]" >&2
    exit 64
    ;;
esac

bare_metal=(thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf)
# No network code there, but `carpd demo` and `carpd check` must build.
elsewhere=(x86_64-pc-windows-gnu x86_64-unknown-freebsd)

step() {
    printf '\n== %s\n' "$1"
    shift
    "$@"
}

# have TOOL PACKAGE ...: installs the Debian packages of the tools that are missing.
install_tools() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    # The tests install scapy into an environment of its own.
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "not installed, and not root on Debian: ${missing[*]}"
    fi
}

install_targets() {
    command -v rustup >/dev/null || { echo "no rustup: cross builds need the targets" >&2; return 0; }
    rustup --quiet target add "${bare_metal[@]}" "${elsewhere[@]}"
}

# Feature unification in a workspace build hides leaks of std: each core crate by itself, each feature.
build_bare_metal() {
    local target
    for target in "${bare_metal[@]}"; do
        for features in "" defmt serde defmt,serde; do
            cargo build --quiet --release --target "$target" -p carp-proto --features "$features"
        done
        for features in "" alloc sim defmt; do
            cargo build --quiet --release --target "$target" -p carp-fsm --features "$features"
        done
        for features in "" defmt log smoltcp embassy-net defmt,log,smoltcp,embassy-net; do
            cargo build --quiet --release --target "$target" -p carp-embassy --features "$features"
        done
        echo "$target: carp-proto, carp-fsm and carp-embassy, with each feature"
    done
}

check_elsewhere() {
    local target
    for target in "${elsewhere[@]}"; do
        cargo check --quiet --target "$target" -p carpd
        echo "$target: carpd"
    done
}

# Workspaces of their own.
lint_bare_metal() (
    (cd fuzz && cargo fmt --check)
    cd tests/bare-metal
    cargo fmt --check
    cargo clippy --quiet --release --target thumbv7em-none-eabihf --features accept,everything,smallest,events,follow -- -D warnings
    cd ../firmware
    cargo fmt --check
    cargo clippy --quiet --release --target thumbv7m-none-eabi -- -D warnings
)

# Firmware that only a board can run, and the program for a tap device.
build_examples() (
    for example in carp-embassy/examples/*/; do
        (cd "$example" && cargo fmt --check && cargo build --quiet --release --locked)
        echo "$example"
    done
)

install_nightly() {
    rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
    rustup --quiet component add --toolchain nightly miri rust-src
    command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
}

check_dependencies() {
    command -v cargo-deny >/dev/null || cargo install --quiet --locked cargo-deny
    cargo deny check bans licenses sources
}

# Real packets, real daemons, a real peer.
run_lab() {
    if [ "$(id -u)" != 0 ]; then
        echo "needs root: left out"
        [ "${CI:-}" != true ]
        return
    fi
    cargo build --quiet --release -p carpd
    target/release/carpd lab
    target/release/carpd lab --peer ucarp
    carp-embassy/examples/linux-tap/run.sh
    # Part of what it measures; all of it takes five minutes, and forty without --fast (docs/lab.md).
    cargo run --quiet --release -p carp-tests --bin measure -- --fast --only planned --only replay --only idle
}

# Runs the tests and ends with their sum.
run_tests() {
    local log status=0
    log=$(mktemp)
    cargo test --workspace --all-features 2>&1 | tee "$log" || status=$?
    # The last line: N passed, N failed, over all test binaries.
    local sum='/^test result:/ { p += $4; f += $6 } END { printf "%d passed, %d failed\n", p, f }'
    closing=$(awk "$sum" "$log")
    rm -f "$log"
    return "$status"
}

step "Tools" install_tools ucarp ucarp keepalived keepalived tcpdump tcpdump nft nftables ip iproute2 tshark tshark \
    qemu-system-arm qemu-system-arm
step "Targets" install_targets
if [ "$mode" != test ]; then
    step "Format" cargo fmt --all --check
    step "Lints" cargo clippy --quiet --workspace --all-targets --all-features -- -D warnings
    step "Bare metal" build_bare_metal
    step "Other systems" check_elsewhere
    step "4096 hosts on a small stack, unoptimised" \
        cargo run --quiet --profile debug-stack -p carp-fsm --features alloc --example many_hosts
    step "Documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --all-features
fi
if [ "$mode" = full ]; then
    step "Tools of the full check" install_tools valgrind valgrind arm-none-eabi-size binutils-arm-none-eabi
    step "Nightly" install_nightly
    step "Dependencies" check_dependencies
    step "No panic is left" tests/bare-metal/panic-free.sh
    step "Instructions of the adapter, and what it adds" tests/firmware/budgets.sh
    step "Instructions of a node on Cortex-M" tests/bare-metal/events.sh
    step "Examples of the adapter" build_examples
    step "Lints of fuzz targets and bare-metal images" lint_bare_metal
    # Flash, RAM, instructions, ratios, model check, seeded runs, vectors: whatever needs no root.
    step "Limits" cargo run --quiet --release -p carp-benches --bin report -- --quick --rootless --out target/report
    step "Benchmarks run" cargo bench --quiet -p carp-benches --bench wire_time --bench fsm_time -- --test
    step "Planted bugs are found" cargo run --quiet --profile model -p carp-tests --bin mutants
    step "Miri" cargo +nightly miri test --quiet -p carp-proto
    # What runs in minutes: no random histories, no tables of everything. The bench of those tests leaks its
    # slots on purpose: a node borrows them for ever.
    step "Miri on the election" env MIRIFLAGS=-Zmiri-ignore-leaks cargo +nightly miri test --quiet -p carp-fsm --lib -- \
        host:: machine::tests::leaving machine::tests::timers node::tests::commands node::tests::replays
    step "Fuzzing, briefly" fuzz/run.sh 10
    step "Demo" cargo run --quiet --release -p carpd -- demo
    step "Lab" run_lab
fi
closing=
step "Tests" run_tests
echo
echo "$closing"
