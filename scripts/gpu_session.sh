#!/usr/bin/env bash
# Everything that wants a GPU, unattended: conformance, goldens, diff, benches, in parts of under ten minutes.
#
#   scripts/gpu_session.sh pack FOLDER     here: builds, and gathers all that a run needs
#   FOLDER/gpu_session.sh run [PART...]    there: runs the parts (all of them) and writes FOLDER/out/session.json and session.md
#
# A run needs what is in FOLDER and NVIDIA's driver: no network, no toolchain. Weights are random, from `shape:`. A part that
# fails or runs out of time is noted, and the next one runs. With a Python that has PyTorch beside it, its cuBLAS and its
# attention are timed on the same shapes.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PARTS=(devices conformance goldens cuda diff bench-1b bench-1b-early bench-8b bench-8b-4bit bench-batch bench-prefill bench-moe torch)
LIMIT_S=560

pack() {
    local root folder
    root="$(cd "$here/.." && pwd)"
    mkdir -p "$1/lib" && folder="$(cd "$1" && pwd)"
    cd "$root" || exit 1
    cargo build --release || exit 1
    cp "${CARGO_TARGET_DIR:-target}/release/polysilicon" "$folder/"
    local test program
    for test in conformance goldens cuda; do
        program="$(cargo test --release -p polysilicon-tests --test "$test" --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p' | tail -1)"
        [[ -n "$program" ]] || { echo "gpu_session: the tests of $test do not build" >&2; exit 1; }
        cp "$program" "$folder/test-$test"
    done
    cp -r tests/goldens "$folder/goldens"
    cp "$here/gpu_session.sh" "$here/gpu_torch.py" "$folder/"
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$folder/wheel" nvidia-cuda-nvrtc-cu12 || exit 1
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

# One part, its output in out/PART.txt and, of benches, its figures in out/PART.json.
part() {
    local ps="$here/polysilicon" json="$here/out/$1.json"
    case "$1" in
    devices) "$ps" devices ;;
    conformance) "$here/test-conformance" --test-threads 1 backends_agree ;;
    goldens) "$here/test-goldens" --test-threads 1 a_gpu ;;
    cuda) "$here/test-cuda" --test-threads 1 ;;
    diff)
        local golden failed=0
        for golden in "$here"/goldens/*/; do
            "$ps" diff "$golden" --a cuda --b reference --ids 1,2,3,4,5,6,7,8 || failed=1
        done
        return "$failed"
        ;;
    bench-1b) "$ps" bench shape:llama-3.2-1b --device cuda --prompt 0 --output 256 --depth 0,1024 --json "$json" ;;
    bench-1b-early)
        POLYSILICON_CUDA_EARLY=1 "$ps" bench shape:llama-3.2-1b --device cuda --prompt 0 --output 256 --depth 0,1024 --json "$json"
        ;;
    bench-8b) "$ps" bench shape:llama-3.1-8b --device cuda --prompt 0 --output 128 --depth 0,1024,8192 --json "$json" ;;
    bench-8b-4bit) "$ps" bench shape:llama-3.1-8b@q4_k --device cuda --prompt 0 --output 128 --json "$json" ;;
    bench-batch) "$ps" bench shape:llama-3.1-8b --device cuda --prompt 0 --output 64 --depth 1024 --concurrency 8,32,128 --json "$json" ;;
    bench-prefill) "$ps" bench shape:llama-3.1-8b --device cuda --prompt 512,2048 --output 0 --json "$json" ;;
    bench-moe) "$ps" bench shape:gpt-oss-20b@mxfp4 --device cuda --prompt 512 --output 128 --json "$json" ;;
    torch)
        if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
            python3 "$here/gpu_torch.py" "$json"
        else
            echo "no PyTorch with CUDA here"
        fi
        ;;
    *) echo "gpu_session: no part $1; the parts are ${PARTS[*]}" >&2; return 2 ;;
    esac
}

run() {
    local parts=("$@") name status seconds start separator=""
    [[ ${#parts[@]} -gt 0 ]] || parts=("${PARTS[@]}")
    mkdir -p "$here/out"
    export POLYSILICON_NVRTC="$here/lib" POLYSILICON_GOLDENS="$here/goldens" XDG_CACHE_HOME="$here/out/cache"
    local json="$here/out/session.json" table="$here/out/session.md"
    {
        printf '{"date":"%s","gpu":"' "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
        nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -1 | tr -d '"\n'
        printf '","parts":['
    } >"$json"
    printf '| Part | Verdict | Seconds |\n|---|---|--:|\n' >"$table"
    for name in "${parts[@]}"; do
        start="$(date +%s)"
        # A part is a process of its own, so that its time can be limited whatever it does.
        timeout --kill-after 10 "$LIMIT_S" "$here/gpu_session.sh" part "$name" >"$here/out/$name.txt" 2>&1
        status=$?
        seconds=$(($(date +%s) - start))
        {
            printf '%s{"name":"%s","status":%d,"seconds":%d' "$separator" "$name" "$status" "$seconds"
            [[ -s "$here/out/$name.json" ]] && printf ',"figures":%s' "$(cat "$here/out/$name.json")"
            printf '}'
        } >>"$json"
        separator=","
        printf '| %s | %s | %d |\n' "$name" "$([[ $status -eq 0 ]] && echo good || echo "status $status, see $name.txt")" "$seconds" >>"$table"
        echo "gpu_session: $name ended with status $status after $seconds s"
    done
    printf ']}\n' >>"$json"
    for name in "${parts[@]}"; do
        [[ "$name" == bench-* && -s "$here/out/$name.txt" ]] && printf '\n## %s\n\n```\n%s\n```\n' "$name" "$(cat "$here/out/$name.txt")" >>"$table"
    done
    cat "$table"
}

case "${1:-}" in
pack) [[ $# -eq 2 ]] || { echo "usage: gpu_session.sh pack FOLDER" >&2; exit 2; }; pack "$2" ;;
run) shift; run "$@" ;;
part) part "$2" ;;
*) sed -n '2,11p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
