#!/usr/bin/env bash
# Brings Polysilicon up on a machine with AWS Neuron chips, and writes one report to send back.
#
#     scripts/neuron_bringup.sh [--report FILE] [--model MODEL]... [--quick] [--only STEP]...
#
# It looks at driver, runtime and compiler, runs the conformance suite on the device, compares a model's values with the
# reference's, generates, and times. Nothing is installed, and nothing on the machine is changed but the folder of built
# programs and that of compiled ones. Every step is tried, whatever became of those before; each has a limit of time.
# --model adds a model beside the embedded one; --quick leaves the conformance suite out. --only takes one step alone, which
# was not done or failed before: machine, driver, runtime, compiler, build, devices, conformance, diff, tokens or bench.
#
# Without a chip it runs against the emulator, where these two point to it:
#     POLYSILICON_LIBNRT=target/release/libnrt_emulator.so POLYSILICON_NEURONX_CC=target/release/neuronx-cc
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

report="neuron_bringup.txt"
models=(embedded)
quick=false
only=()
while (($# > 0)); do
    case "$1" in
        --report) report="${2:?--report wants a file}"; shift 2 ;;
        --model) models+=("${2:?--model wants a model}"); shift 2 ;;
        --quick) quick=true; shift ;;
        --only) only+=("${2:?--only wants a step}"); shift 2 ;;
        *) echo "usage: $0 [--report FILE] [--model MODEL]... [--quick] [--only STEP]..." >&2; exit 2 ;;
    esac
done

libnrt="${POLYSILICON_LIBNRT:-/opt/aws/neuron/lib/libnrt.so.1}"
compiler="${POLYSILICON_NEURONX_CC:-neuronx-cc}"
polysilicon="${CARGO_TARGET_DIR:-target}/release/polysilicon"
failed=()

say() { printf '%s\n' "$@" | tee -a "$report"; }

# step NAME SECONDS COMMAND...: runs a command, and puts all that it says into the report.
step() {
    local name="$1" seconds="$2" start="$SECONDS" code
    shift 2
    if ((${#only[@]} > 0)) && [[ " ${only[*]} " != *" ${name%% *} "* ]]; then return 0; fi
    say "" "== $name" "\$ $*"
    # Through another shell, because some commands are functions of this one.
    timeout "$seconds" bash -c '"$@"' step "$@" > >(tee -a "$report") 2>&1
    code=$?
    # What is still in the pipe belongs above the verdict.
    sleep 0.2
    case "$code" in
        0) say "-- ok, $((SECONDS - start)) s" ;;
        124) say "-- FAILED: not done within $seconds s"; failed+=("$name") ;;
        *) say "-- FAILED with $code, $((SECONDS - start)) s"; failed+=("$name") ;;
    esac
    return "$code"
}

# What is told of a package by whichever manager has it.
package() {
    dpkg-query -W -f '${Package} ${Version}\n' "$1" 2>/dev/null || rpm -q "$1" 2>/dev/null || echo "$1 is not installed"
}

machine() {
    uname -srm
    cat /sys/devices/virtual/dmi/id/product_name 2>/dev/null || echo "no product name"
    nproc
    grep -m1 MemTotal /proc/meminfo
    git rev-parse HEAD 2>/dev/null || echo "no git"
}

# A chip has a node and a driver; the emulator has neither.
driver() {
    if ls /dev/neuron* 2>/dev/null; then
        modinfo -F version neuron
    else
        echo "there is no /dev/neuron*"
        [[ -n "${POLYSILICON_LIBNRT:-}" ]]
    fi
}

runtime() {
    local name
    for name in aws-neuronx-dkms aws-neuronx-runtime-lib aws-neuronx-collectives aws-neuronx-tools; do
        package "$name"
    done
    if [[ ! -e "$libnrt" ]]; then
        echo "$libnrt is not there: install aws-neuronx-runtime-lib, or name a libnrt in POLYSILICON_LIBNRT"
        return 1
    fi
}

# The words that a model writes on two devices, greedily, are the same.
same_tokens() {
    local model="$1" ours theirs
    ours=$("$polysilicon" run "$model" --device neuron --ids 1,2,3,4 -n 16 --temperature 0 --json) || return 1
    theirs=$("$polysilicon" run "$model" --device reference --ids 1,2,3,4 -n 16 --temperature 0 --json) || return 1
    ours=$(ids "$ours")
    theirs=$(ids "$theirs")
    printf 'neuron:    %s\nreference: %s\n' "$ours" "$theirs"
    [[ -n "$ours" && "$ours" == "$theirs" ]]
}

ids() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])["ids"])' "$1"; }

export -f machine driver runtime package same_tokens ids
export libnrt compiler polysilicon

: >"$report" || exit 1
say "Polysilicon on Neuron, $(date -u +%Y-%m-%dT%H:%M:%SZ)"
if [[ -n "${POLYSILICON_LIBNRT:-}" ]]; then
    say "libnrt is the one named in POLYSILICON_LIBNRT: $libnrt"
fi
step machine 60 machine
step driver 60 driver
step runtime 60 runtime
step compiler 120 "$compiler" --version
emulated=false
if step build 3600 cargo build --release; then
    step devices 300 "$polysilicon" devices
    if "$polysilicon" devices 2>/dev/null | grep -q emulated; then emulated=true; fi
    if ! $quick; then
        # Cases are compiled one by one; those of a chip take a while.
        step conformance 14400 cargo test --release -p polysilicon-tests --test conformance -- --nocapture
    fi
    for model in "${models[@]}"; do
        step "diff of $model" 7200 "$polysilicon" diff "$model" --a neuron --b reference --ids 1,2,3,4
        step "tokens of $model" 7200 same_tokens "$model"
        step "bench of $model" 7200 "$polysilicon" bench "$model" --device neuron --prompt 64 --output 32
    done
fi

say "" "== summary"
if $emulated; then
    say "EMULATED: times above are simulated or are this machine's own, and nothing of them was measured on a chip"
fi
if ((${#failed[@]} > 0)); then
    say "failed: $(printf '%s; ' "${failed[@]}")"
    say "Please send $report with an issue."
    exit 1
fi
say "Everything passed. Please send $report with an issue: nobody has seen this on a chip before."
