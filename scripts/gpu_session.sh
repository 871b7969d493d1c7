#!/usr/bin/env bash
# Everything that wants a GPU, unattended: conformance, goldens, diff, benches, in parts of under ten minutes.
#
#   scripts/gpu_session.sh pack FOLDER     here: builds, and gathers all that a run needs
#   FOLDER/gpu_session.sh run [PART...]    there: runs the parts (all of them) and writes FOLDER/out/session.json and session.md
#
# A run needs what is in FOLDER and NVIDIA's driver: no network, no toolchain, no Python. Weights are random, from `shape:`. What
# matters most comes first, and after every part the report is written anew: who runs out of time has what was measured until
# then, and `run PART...` goes on where it ended. A part that fails or runs out of time is noted, and the next one runs. With a
# Python that has PyTorch, its cuBLAS and its attention are timed on the same shapes; with llama.cpp's `llama-bench`, which
# POLYSILICON_LLAMA_BENCH names, the same model is, or the GGUF file that POLYSILICON_LLAMA_MODEL names. Ends with 0 where all parts are good,
# 1 where one is not, 2 on wrong usage, 3 where there is no GPU, of which nothing is measured then.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PARTS=(devices copy cuda bench-8b bench-1b torch bench-prefill bench-8b-4bit bench-moe bench-batch goldens diff file cold warm
    bench-prefill-library bench-invariant bench-1b-early bench-8b-early bench-8b-fp8 llama)
# Most seconds of a part.
LIMIT_S="${POLYSILICON_PART_S:-560}"

pack() {
    local root folder test program target
    root="$(cd "$here/.." && pwd)"
    mkdir -p "$1/lib" && folder="$(cd "$1" && pwd)"
    cd "$root" || exit 1
    target="${CARGO_TARGET_DIR:-target}/release"
    cargo build --release || exit 1
    cargo build --release -p polysilicon-tests --example gpu_report || exit 1
    cp "$target/polysilicon" "$target/examples/gpu_report" "$folder/" || exit 1
    for test in goldens cuda; do
        program="$(cargo test --release -p polysilicon-tests --test "$test" --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p' | tail -1)"
        [[ -n "$program" ]] || { echo "gpu_session: the tests of $test do not build" >&2; exit 1; }
        cp "$program" "$folder/test-$test" || exit 1
    done
    # What only a debugger reads is four fifths of them.
    ! command -v strip >/dev/null || strip --strip-debug "$folder"/{polysilicon,gpu_report,test-goldens,test-cuda} || exit 1
    rm -rf "$folder/goldens"
    cp -r tests/goldens "$folder/goldens"
    cp "$here/gpu_session.sh" "$here/gpu_torch.py" "$folder/"
    # The version that CI compiles every kernel with.
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$folder/wheel" --requirement "$here/requirements-nvrtc.txt" || exit 1
    python3 - "$folder" <<'PY' || exit 1
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
for wheel in (folder / "wheel").glob("*.whl"):
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            if "/lib/libnvrtc" in name and ".alt." not in name:
                (folder / "lib" / pathlib.Path(name).name).write_bytes(files.read(name))
PY
    rm -r "$folder/wheel"
    echo "gpu_session: $folder is ready; copy it to the machine with the GPU and run ./gpu_session.sh run"
}

# Seconds from the start of a program to the end of its first token, as JSON.
first_token() {
    local start status
    start="$(date +%s%N)"
    "$here/polysilicon" run "$here/out/8b.gguf" --device cuda --ids 1,2,3,4,5,6,7,8 -n 1 --json
    status=$?
    local us=$((($(date +%s%N) - start) / 1000))
    printf '{"seconds":%d.%06d}\n' $((us / 1000000)) $((us % 1000000)) >"$1"
    return "$status"
}

# One part, its output in out/PART.txt and its figures, where it has any, in out/PART.json.
part() {
    local ps="$here/polysilicon" json="$here/out/$1.json" golden failed=0
    local decode=(--device cuda --prompt 0 --json "$json")
    case "$1" in
    devices) "$ps" devices ;;
    copy) "$here/gpu_report" copy "$json" ;;
    # Those that a GPU takes part in; NCCL with one rank, where somebody put libnccl.so.2 beside NVRTC.
    cuda) "$here/test-cuda" a_gpu a_row attention_is ;;
    goldens) "$here/test-goldens" a_gpu ;;
    diff)
        for golden in "$here"/goldens/*/; do
            "$ps" diff "$golden" --a cuda --b reference --ids 1,2,3,4,5,6,7,8 || failed=1
        done
        return "$failed"
        ;;
    bench-1b) "$ps" bench shape:llama-3.2-1b "${decode[@]}" --output 256 --depth 0,1024 ;;
    bench-1b-early) POLYSILICON_CUDA_EARLY=1 "$ps" bench shape:llama-3.2-1b "${decode[@]}" --output 256 --depth 0,1024 ;;
    bench-8b-early) POLYSILICON_CUDA_EARLY=1 "$ps" bench shape:llama-3.1-8b "${decode[@]}" --output 128 --depth 0,1024 ;;
    bench-8b) "$ps" bench shape:llama-3.1-8b "${decode[@]}" --output 128 --depth 0,1024,8192 ;;
    bench-8b-4bit) "$ps" bench shape:llama-3.1-8b@q4_k "${decode[@]}" --output 128 ;;
    bench-8b-fp8) "$ps" bench shape:llama-3.1-8b@f8_e4m3 --device cuda --prompt 2048 --output 128 --json "$json" ;;
    bench-batch) "$ps" bench shape:llama-3.1-8b "${decode[@]}" --output 64 --depth 1024 --concurrency 8,32,128 --rounds 3 ;;
    bench-prefill) "$ps" bench shape:llama-3.1-8b --device cuda --prompt 512,2048 --output 0 --json "$json" ;;
    bench-prefill-library) POLYSILICON_CUBLASLT=1 "$ps" bench shape:llama-3.1-8b --device cuda --prompt 512,2048 --output 0 --json "$json" ;;
    bench-moe) "$ps" bench shape:gpt-oss-20b@mxfp4 --device cuda --prompt 512 --output 128 --json "$json" ;;
    # The price of bits that depend on nothing else: the same as bench-8b and bench-prefill at the first depth.
    bench-invariant) "$ps" bench shape:llama-3.1-8b --device cuda --batch-invariant --prompt 2048 --output 128 --concurrency 1,8 --json "$json" ;;
    # Weights in a file, and in the page cache, for what begins with nothing loaded.
    file) "$ps" quantize shape:llama-3.1-8b --to bf16 --out "$here/out/8b.gguf" --force ;;
    cold)
        cat "$here/out/8b.gguf" >/dev/null || return 1
        XDG_CACHE_HOME="$(mktemp -d)" first_token "$json"
        ;;
    warm) first_token /dev/null && first_token "$json" ;;
    torch)
        if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
            python3 "$here/gpu_torch.py" "$json"
        else
            echo "no PyTorch with CUDA here"
        fi
        ;;
    llama)
        if [[ -x "${POLYSILICON_LLAMA_BENCH:-}" ]]; then
            "$POLYSILICON_LLAMA_BENCH" -m "${POLYSILICON_LLAMA_MODEL:-$here/out/8b.gguf}" -ngl 99 -fa 1 -p 512,2048 -n 128 -o json \
                | tee "$json"
        else
            echo "no llama-bench here; POLYSILICON_LLAMA_BENCH may name one"
        fi
        ;;
    *) echo "gpu_session: no part $1; the parts are ${PARTS[*]}" >&2; return 2 ;;
    esac
}

run() {
    local parts=("$@") name status seconds start failed=0
    [[ ${#parts[@]} -gt 0 ]] || parts=("${PARTS[@]}")
    for name in "${parts[@]}"; do
        [[ " ${PARTS[*]} " == *" $name "* ]] || { echo "gpu_session: no part $name; the parts are ${PARTS[*]}" >&2; exit 2; }
    done
    export POLYSILICON_NVRTC="$here/lib" POLYSILICON_NCCL="$here/lib" POLYSILICON_GOLDENS="$here/goldens" XDG_CACHE_HOME="$here/out/cache"
    mkdir -p "$here/out"
    "$here/polysilicon" devices >"$here/out/devices.txt" 2>&1
    if ! grep -q '^cuda' "$here/out/devices.txt"; then
        echo "gpu_session: there is no GPU here, and nothing is measured; the devices are:" >&2
        cat "$here/out/devices.txt" >&2
        exit 3
    fi
    date -u +%Y-%m-%dT%H:%M:%SZ >"$here/out/date.txt"
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$here/out/gpu.txt" 2>/dev/null
    touch "$here/out/parts.txt"
    for name in "${parts[@]}"; do
        rm -f "$here/out/$name.json"
        start="$(date +%s)"
        # A part is a process of its own, so that its time can be limited whatever it does.
        timeout --kill-after 10 "$LIMIT_S" "$here/gpu_session.sh" part "$name" >"$here/out/$name.txt" 2>&1
        status=$?
        seconds=$(($(date +%s) - start))
        [[ $status -eq 0 ]] || failed=1
        # What it said before is no more.
        sed -i "/^$name /d" "$here/out/parts.txt"
        echo "$name $status $seconds" >>"$here/out/parts.txt"
        "$here/gpu_report" fold "$here/out" || failed=1
        echo "gpu_session: $name ended with status $status after $seconds s"
    done
    cat "$here/out/session.md"
    exit "$failed"
}

case "${1:-}" in
pack) [[ $# -eq 2 ]] || { echo "usage: gpu_session.sh pack FOLDER" >&2; exit 2; }; pack "$2" ;;
run) shift; run "$@" ;;
part) [[ $# -eq 2 ]] || { echo "usage: gpu_session.sh part NAME" >&2; exit 2; }; part "$2" ;;
*) sed -n '2,14p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
