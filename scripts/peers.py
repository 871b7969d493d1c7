#!/usr/bin/env python3
"""Speeds of this program and of its peers on the same GGUF files, in turns; one table.

    cargo build --release -p polysilicon-benches
    python scripts/peers.py MODEL.gguf ... --llama-python VENV/bin/python [--llama-bench PATH]
        [--openvino-python PYTHON] [--mistralrs-python PYTHON] [--depth 4096] [--sequences 4,16]
        [--rounds 5] [--out peers.md] [--json peers.json]

Measured are: a prompt (pp), decoding from an empty context and at depths (tg), several sequences decoded together,
and the time from a file in the page cache to the first token.  Each measurement is a process of its own, warms up, and
gives one figure.  A round runs every engine once on every case, each round beginning with another engine; a ratio is
taken within its round.  llama.cpp, which must read a prompt to come to a depth, does so once and is kept for all rounds of
that case, asleep while others are measured.  The table gives medians over the rounds, and in brackets the least and the greatest.

An engine takes part where it is found: llama.cpp, OpenVINO GenAI and mistral.rs as Python packages of the interpreter
named for them, or of the one that runs this; a `llama-bench` binary (ik_llama.cpp, for one) where its path is given,
with a `llama-batched-bench` beside it for several sequences.  An engine that fails a case, or takes longer than
--timeout for it, is left out of it, and the table says why.
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
US = "polysilicon"
BATCH_DEPTH, BATCH_OUTPUT = 128, 32
FAR = 1024  # a depth that takes long to come to


class Failure(Exception):
    """Why an engine has no figure for a case."""


def main():
    args = arguments()
    cases = list(all_cases(args))
    if busy() > 0.25:
        note("other programs use this machine: what is measured now will mislead")
    engines = found_engines(args)
    results, versions, failures = {}, {}, {}
    names = [name for name, _ in engines]
    for round_ in range(args.rounds):
        for model in args.models:
            for place, case in enumerate(cases):
                turn = (round_ + place) % len(engines)
                for name, engine in engines[turn:] + engines[:turn]:
                    key = (str(model), case["name"], name)
                    if key in failures:
                        continue
                    try:
                        figure = engine(dict(case, model=str(model), threads=args.threads))
                        versions.setdefault(name, figure.get("version", ""))
                        results.setdefault(key, []).append(figure)
                        told = f"{figure['value']:.4g}"
                    except Failure as failure:
                        failures[key] = told = str(failure)
                    note(f"{round_ + 1}/{args.rounds} {model.stem}, {case['name']}, {name}: {told}")
                # At once, so that nothing is lost where the rest is broken off.
                text = write(args, names, cases, results, versions, failures)
    print(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    number_list = lambda text: [int(word) for word in text.split(",") if word]  # noqa: E731
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=number_list, default=[512], help="tokens of a prompt, comma-separated")
    parser.add_argument("--output", type=int, default=128, help="tokens decoded from an empty context")
    parser.add_argument("--depth", type=number_list, default=[4096], help="depths at which 32 tokens are decoded")
    parser.add_argument("--sequences", type=number_list, default=[4, 16], help="sequences decoded together")
    parser.add_argument("--no-load", action="store_true", help="leave the time to load out")
    parser.add_argument("--device", default="auto", help="the device of this program")
    parser.add_argument("--throughput", type=Path, default=HERE.parent / "target/release/polysilicon-throughput")
    parser.add_argument("--llama-python", default=sys.executable)
    parser.add_argument("--openvino-python", default=sys.executable)
    parser.add_argument("--mistralrs-python", default=sys.executable)
    parser.add_argument("--llama-bench", type=Path, help="a llama-bench binary")
    parser.add_argument("--llama-bench-args", default="-fa 1", help="more arguments for it [default: %(default)s]")
    parser.add_argument("--llama-bench-name", default="llama-bench", help="what the table calls it")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that one measurement may take")
    parser.add_argument("--out", type=Path, help="where the table goes, besides standard output")
    parser.add_argument("--json", type=Path, help="where every figure goes")
    args = parser.parse_args()
    for path in args.models + [args.throughput] + [args.llama_bench] * bool(args.llama_bench):
        if not path.is_file():
            parser.error(f"there is no file {path}")
    if min(args.threads, args.rounds, args.output) < 1:
        parser.error("threads, rounds and output are at least 1")
    return args


def all_cases(args):
    """Each a name, what is measured, and its sizes."""
    for prompt in args.prompt:
        yield {"name": f"pp{prompt}", "what": "prefill", "prompt": prompt}
    yield {"name": f"tg{args.output}", "what": "decode", "output": args.output, "depth": 0, "sequences": 1}
    for depth in args.depth:
        yield {"name": f"tg32 at {depth}", "what": "decode", "output": 32, "depth": depth, "sequences": 1}
    for sequences in args.sequences:
        yield {"name": f"tg{BATCH_OUTPUT} at {BATCH_DEPTH}, {sequences} sequences", "what": "decode",
               "output": BATCH_OUTPUT, "depth": BATCH_DEPTH, "sequences": sequences}
    if not args.no_load:
        yield {"name": "load to first token, s", "what": "load"}


# ---------------------------------------------------------------- engines

def found_engines(args):
    """Pairs of a name and a function from a case to a figure, ours first."""
    engines = [(US, lambda case: ours(case, args))]
    packages = [("llama.cpp", "llama_cpp", args.llama_python, "run_llama.py"),
                ("OpenVINO GenAI", "openvino_genai", args.openvino_python, "run_openvino.py"),
                ("mistral.rs", "mistralrs", args.mistralrs_python, "run_mistralrs.py")]
    for name, package, python, script in packages:
        if subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode == 0:
            command = [python, str(HERE / "peers" / script)]
            engines.append((name, Llama(command, args) if package == "llama_cpp" else
                            lambda case, command=command: last_line(command + [json.dumps(case)], args)))
        else:
            note(f"{name} is left out: {python} has no {package}")
    if args.llama_bench:
        engines.append((args.llama_bench_name, lambda case: llama_bench(case, args)))
    return engines


class Llama:
    """Runs its script for each figure, but where a case is far away: there one process gives all of them."""

    def __init__(self, command, args):
        self.command, self.args, self.kept = command, args, {}

    def __call__(self, case):
        if case.get("depth", 0) < FAR:
            return last_line(self.command + [json.dumps(case)], self.args)
        key = (case["model"], case["name"])
        if key not in self.kept:
            pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.kept[key] = subprocess.Popen(self.command + [json.dumps(dict(case, kept=True))], **pipes)
        process = self.kept[key]
        watch = threading.Timer(self.args.timeout, process.kill)
        watch.start()
        try:
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (OSError, ValueError):
            process.kill()
            raise Failure(f"it ended without a figure, or took over {self.args.timeout} s") from None
        finally:
            watch.cancel()


def ours(case, args):
    command = [str(args.throughput), "--model", case["model"], "--threads", str(case["threads"]), "--json",
               "--device", args.device, "--rounds", "1"]
    if case["what"] == "load":
        report = last_line(command + ["--load"], args)
        return {"value": report["first_token_s"], "resident_bytes": report["resident_bytes"]}
    if case["what"] == "prefill":
        command += ["--prompt", str(case["prompt"]), "--output", "0"]
    else:
        command += ["--prompt", "0", "--output", str(case["output"]), "--depth", str(case["depth"]),
                    "--sequences", str(case["sequences"])]
    if case.get("sequences", 1) > 1:
        # Through the whole library, scheduler and sampler included: what a server would have.
        result = last_line(command + ["--engine"], args)["results"][-1]
    else:
        result = last_line(command, args)["results"][0]
    shares = {key: result[key] for key in ("share_of_bandwidth", "share_of_peak") if key in result}
    return {"value": result["tokens_per_s"], **shares}


def llama_bench(case, args):
    extra = args.llama_bench_args.split()
    base = ["-m", case["model"], "-t", str(case["threads"])] + extra
    if case["what"] == "load":
        raise Failure("llama-bench measures no loading")
    if case["what"] == "decode" and case["sequences"] > 1:
        return batched_bench(case, args, base)
    is_prompt = case["what"] == "prefill"
    tests = [["-p", str(case["prompt"]), "-n", "0"] if is_prompt else ["-p", "0", "-n", str(case["output"])]]
    if case.get("depth"):
        # llama.cpp's own takes a depth, ik_llama.cpp's a prompt and what is generated behind it.
        tests = [tests[0] + ["-d", str(case["depth"])],
                 ["-p", "0", "-n", "0", "-gp", f"{case['depth']},{case['output']}"]]
    for test in tests:
        try:
            text = output_of([str(args.llama_bench)] + base + test + ["-r", "1", "-o", "json"], args)
            results = json.loads(text[text.index("["):])
            return {"value": results[-1]["avg_ts"], "version": str(results[-1].get("build_commit", ""))}
        except (Failure, ValueError, LookupError) as error:
            failure = error
    raise Failure(f"llama-bench gave no figure: {failure}")


def batched_bench(case, args, base):
    binary = args.llama_bench.with_name("llama-batched-bench")
    if not binary.is_file():
        raise Failure(f"there is no {binary.name} beside llama-bench")
    context = case["sequences"] * (case["depth"] + case["output"]) + 64
    sizes = [str(case[name]) for name in ("depth", "output", "sequences")]
    sizes_given = ["-c", str(context), "-npp", sizes[0], "-ntg", sizes[1], "-npl", sizes[2]]
    for line in output_of([str(binary)] + base + sizes_given, args).splitlines():
        cells = [cell.strip() for cell in line.strip("| \n").split("|")]
        # | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | ...
        if len(cells) >= 8 and cells[:3] == sizes:
            return {"value": float(cells[7])}
    raise Failure("llama-batched-bench printed no row for the case")


def last_line(command, args):
    """The JSON object that a command prints last."""
    lines = output_of(command, args).strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        raise Failure("it printed no JSON object") from None


def output_of(command, args):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout, errors="replace")
    except subprocess.TimeoutExpired:
        raise Failure(f"over {args.timeout} s") from None
    except OSError as error:
        raise Failure(str(error)) from None
    if done.returncode < 0:
        raise Failure(f"ended by signal {-done.returncode}")
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise Failure(lines[-1][:200] if lines else f"ended with status {done.returncode}")
    return done.stdout


# ---------------------------------------------------------------- report

def write(args, names, cases, results, versions, failures):
    text = table(args, names, cases, results, versions, failures)
    if args.out:
        args.out.write_text(text)
    if args.json:
        figures = [dict(model=m, case=c, engine=e, figures=f) for (m, c, e), f in results.items()]
        failed = [dict(model=m, case=c, engine=e, reason=r) for (m, c, e), r in failures.items()]
        report = dict(facts(args), versions=versions, figures=figures, failures=failed)
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return text


def busy():
    """Cores in use by others, of all."""
    return os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 0.0


def facts(args):
    return {"date": datetime.date.today().isoformat(), "processor": processor(), "threads": args.threads,
            "rounds": args.rounds}


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        return f"{name}, {os.cpu_count()} cores"
    except (OSError, StopIteration):
        return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def table(args, names, cases, results, versions, failures):
    about = facts(args)
    lines = [f"{about['date']}, {about['processor']}, {args.threads} threads, up to {args.rounds} rounds. Tokens per "
             "second unless the row says otherwise: median (least to greatest). The ratio is to the best peer, above 1 "
             "where this program is better; the share is what it reaches of this machine's measured read bandwidth "
             "(tg) or arithmetic peak (pp).", ""]
    lines += row(["model", "case", *names, "ratio to the best peer", "share"])
    lines += row(["---", "---", *["---:" for _ in names], "---:", "---:"])
    for model in args.models:
        for case in cases:
            of = {name: results.get((str(model), case["name"], name), []) for name in names}
            cells = [cell(of[name]) for name in names]
            lines += row([model.stem, case["name"], *cells, ratio(case, of), share(case, of[US])])
    lines += [""] + [f"- {name}: {version}" for name, version in versions.items() if version]
    lines += [f"- no figure of {engine} for {Path(model).stem}, {case}: {why}"
              for (model, case, engine), why in failures.items()]
    return "\n".join(lines) + "\n"


def row(cells):
    return ["| " + " | ".join(cells) + " |"]


def cell(figures):
    return spread([figure["value"] for figure in figures]) if figures else "-"


def spread(values):
    least, greatest = min(values), max(values)
    middle = digits(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({digits(least)} to {digits(greatest)})"


def digits(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratio(case, of):
    """Ours to the peer whose median is best, round by round."""
    own = [figure["value"] for figure in of[US]]
    peers = {name: [f["value"] for f in figures] for name, figures in of.items() if name != US and figures}
    if not own or not peers:
        return "-"
    is_time = case["what"] == "load"
    best = (min if is_time else max)(peers, key=lambda name: statistics.median(peers[name]))
    ratios = [peer / mine if is_time else mine / peer for mine, peer in zip(own, peers[best])]
    return f"{spread(ratios)}, {best}"


def share(case, own):
    """What decoding reaches of read bandwidth, and a prompt of the arithmetic peak."""
    name = {"decode": "share_of_bandwidth", "prefill": "share_of_peak"}.get(case["what"])
    shares = [figure[name] for figure in own if figure.get(name) is not None]
    return f"{100 * statistics.median(shares):.0f} %" if shares else ""


def note(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
