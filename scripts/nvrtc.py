#!/usr/bin/env python3
"""Compiles CUDA kernels with NVRTC, which needs no GPU, and tells what they take.

    nvrtc.py FOLDER [--arch sm_80 ...] [--table docs/cuda-kernels.md]

FOLDER holds a text NAME.cu for each kernel. `cargo test -p polysilicon-tests --test cuda` writes them and runs this where
POLYSILICON_NVRTC_PYTHON names a Python with NVRTC; POLYSILICON_CUDA_TABLE names the table, where one is wanted. Every text is compiled for every architecture. A kernel that does not compile is a fault,
and so is a hot one (few, many, attend, attend_many) that spills registers. With --table, registers and shared bytes are
written as a table. NVRTC is that of the wheel nvidia-cuda-nvrtc, installed beside this Python.
"""
import argparse
import concurrent.futures
import ctypes
import pathlib
import re
import site
import sys

ARCHS = ["sm_80", "sm_89", "sm_90a", "sm_100a"]
HOT = ("few", "many", "attend")


def library():
    """NVRTC of the wheel, and before it the library that it opens by name."""
    for root in [*site.getsitepackages(), site.getusersitepackages()]:
        for path in sorted(pathlib.Path(root).glob("nvidia/*/lib/libnvrtc.so*")):
            for builtins in sorted(path.parent.glob("libnvrtc-builtins.so*")):
                ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
    sys.exit("nvrtc.py: there is no NVRTC here; pip install -r scripts/requirements-nvrtc.txt")


def compile_one(nvrtc, path, arch):
    """Whether a text compiles, and what the compiler says."""
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), path.read_bytes(), path.name.encode(), 0, None, None)
    options = [f"--gpu-architecture={arch}".encode(), b"--std=c++17", b"--ptxas-options=-v"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status == 0, log.value.decode(errors="replace")


def number(pattern, log):
    found = re.search(pattern, log)
    return int(found[1]) if found else 0


def measure(log):
    """Registers, bytes of shared memory that a kernel declares, bytes spilled."""
    return number(r"Used (\d+) registers", log), number(r"(\d+) bytes smem", log), number(r"(\d+) bytes spill stores", log)


def table(rows, archs):
    lines = [
        "# What the kernels take",
        "",
        "Registers of a thread and bytes of shared memory that a kernel declares, as NVRTC compiles it for each architecture;",
        "of kernels with several texts the largest. Written by `scripts/nvrtc.py --table`.",
        "",
        "| Kernel | Texts | " + " | ".join(archs) + " |",
        "|---|--:|" + "--:|" * len(archs),
    ]
    for kernel, (texts, cells) in sorted(rows.items()):
        shown = [f"{r}, {s}" + (f", {p} spilled" if p else "") for r, s, p in (cells[arch] for arch in archs)]
        lines.append(f"| `{kernel}` | {texts} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--arch", nargs="+", default=ARCHS)
    parser.add_argument("--table", type=pathlib.Path)
    given = parser.parse_args()
    paths = sorted(given.folder.glob("*.cu"))
    if not paths:
        sys.exit(f"nvrtc.py: {given.folder} holds no kernels")
    nvrtc, faults, rows = library(), [], {}
    jobs = [(path, arch) for path in paths for arch in given.arch]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda job: compile_one(nvrtc, *job), jobs))
    for (path, arch), (good, log) in zip(jobs, results):
        kernel = path.stem.split("-")[0]
        if not good:
            faults.append(f"{path.name} for {arch}:\n{log}")
            continue
        registers, shared, spilled = measure(log)
        if spilled and kernel.startswith(HOT):
            faults.append(f"{path.name} for {arch} spills {spilled} bytes")
        texts, cells = rows.setdefault(kernel, (0, {}))
        rows[kernel] = (texts + (arch == given.arch[0]), cells)
        cells[arch] = max(cells.get(arch, (0, 0, 0)), (registers, shared, spilled))
    if given.table and not faults:
        given.table.write_text(table(rows, given.arch))
    print(f"{len(paths)} kernels for {len(given.arch)} architectures: {len(faults)} faults")
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
