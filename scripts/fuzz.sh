#!/bin/sh
# Runs the fuzz targets one after the other: scripts/fuzz.sh [SECONDS [TARGET...]]
#
# Each starts from its seeds in fuzz/seeds/TARGET and keeps what it learns in fuzz/corpus/TARGET, which is not
# committed. What breaks a target lands in fuzz/artifacts/TARGET: fix it, and move the file to the seeds, which every
# check replays.
set -eu

cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -gt 0 ] && shift

# Instrumentation needs nightly, and so does the tool's own compiler flag for it.
cargo +nightly fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

[ $# -gt 0 ] || set -- $(cargo +nightly fuzz list)
for target in "$@"; do
    echo "$target: $seconds seconds"
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=8192 -timeout=2 -rss_limit_mb=2048 -print_final_stats=1
done
