#!/bin/sh
# Runs every fuzz target over its committed corpus, then for some seconds (10, or
# the first argument) more. Fails if one finds something. New inputs are thrown
# away: to keep what a long run finds, merge it into corpus/ as below.
#
#   cargo +nightly fuzz run TARGET NEW corpus/TARGET
#   cargo +nightly fuzz run TARGET -- -set_cover_merge=1 corpus/TARGET NEW
set -eu
cd "$(dirname "$0")"

seconds=${1:-10}
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
cargo +nightly fuzz build
for target in packet frame roundtrip auth node_ops script; do
    mkdir "$new/$target"
    # Packets are short, histories are long.
    case $target in node_ops | script) length=3000 ;; *) length=400 ;; esac
    echo "$target: $(find "corpus/$target" -type f | wc -l) inputs, then $seconds s"
    if ! cargo +nightly fuzz run "$target" "$new/$target" "corpus/$target" -- \
        -max_len="$length" -timeout=20 -max_total_time="$seconds" -print_final_stats=1 \
        >"$new/log" 2>&1; then
        cat "$new/log" >&2
        exit 1
    fi
    grep '^stat::number_of_executed_units' "$new/log"
    echo "edges covered: $(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$new/log" | tail -n 1)"
done
