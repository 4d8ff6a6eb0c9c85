#!/usr/bin/python3
"""What each kind of write barrier costs (docs/barriers.md).

  kinds    requests, what the barrier shades, floating garbage and the last stop, by kind and transition, under a load
           that replaces an entry with every request
  stacks   the last stop of `dijkstra` and of `hybrid` against the number and depth of stacks: why Go gave up rescanning
  roots    what conservative roots retain against precise ones
  stores   the cost of a store by kind, idle and marking (micro)
"""
import argparse
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import keelreport  # noqa: E402
from keelreport import MIB  # noqa: E402

BIN = ROOT / "build/release/bin"
OUT = ROOT / "out/experiments/barriers"
SOUND = [("stw", kind) for kind in ("none", "dijkstra", "yuasa", "hybrid", "hybrid-conditional")]
SOUND += [("handshake", kind) for kind in ("dijkstra", "hybrid", "hybrid-conditional")]


def run(name, *arguments):
    return keelreport.run(BIN / "ballast", OUT / f"{name}.json", *arguments)


def middle(values, form="{:.0f}"):
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} … {form.format(max(values))})"


def unforced(report):
    begin = report["run"]["measured"]["begin_ns"]
    return [c for c in report["cycles"] if c["trigger"] != "forced" and c["begin_ns"] >= begin]


def stops_us(report, kind):
    return [p["duration_ns"] / 1000 for p in report["pauses"] if p["kind"] == kind]


def kinds(repetitions):
    found = {key: {"rate": [], "shaded": [], "floating": [], "last": [], "cycles": []} for key in SOUND}
    for i in range(repetitions):
        for transitions, kind in SOUND:
            report = run(f"kinds-{transitions}-{kind}-{i}", "--barrier", kind, "--transitions", transitions, "--threads", 2,
                         "--live", "64MiB", "--replace", 100, "--duration", "3s", "--seed", i + 1)
            f, cycles = found[(transitions, kind)], unforced(report)
            f["rate"].append(report["results"]["measured_requests"] / 3000)
            f["cycles"].append(len(cycles))
            f["shaded"].append(statistics.median(c["barrier"]["shaded"] for c in cycles))
            f["floating"].append(statistics.median(c["heap_bytes"]["live"] for c in cycles) / MIB -
                                 report["results"]["live_bytes"] / MIB)
            stops = stops_us(report, "mark_termination")
            f["last"].append(statistics.median(stops) if stops else 0)
    print(f"median (least … most) of {repetitions} runs of 3 s, 2 mutators, 64 MiB live, every request replaces an entry")
    print(f"{'transitions':>11} {'kind':<19} {'k requests/s':<20} {'shaded a cycle':<24} {'floating MiB':<20} last stop us")
    for (transitions, kind), f in found.items():
        print(f"{transitions:>11} {kind:<19} {middle(f['rate'], '{:.1f}'):<20} {middle(f['shaded']):<24} "
              f"{middle(f['floating'], '{:.1f}'):<20} {middle(f['last']) if transitions == 'stw' else 'none'}")


def stacks(repetitions):
    settings = [(threads, stack) for threads in (1, 8, 64) for stack in ("0B", "256KiB", "1MiB")]
    found = {(kind, *s): [] for kind in ("dijkstra", "hybrid") for s in settings}
    for i in range(repetitions):
        for threads, stack in settings:
            for kind in ("dijkstra", "hybrid"):
                report = run(f"stacks-{kind}-{threads}-{stack}-{i}", "--barrier", kind, "--threads", threads, "--stack", stack,
                             "--live", "64MiB", "--duration", "2s", "--seed", i + 1)
                found[(kind, threads, stack)] += [
                    (p["duration_ns"] - p["time_to_stop_ns"]) / 1000 for p in report["pauses"]
                    if p["kind"] == "mark_termination"]
    print(f"last stop without time to stop, microseconds: median, most; {repetitions} runs of 2 s")
    print(f"{'threads':>7} {'stack':>7}  {'dijkstra':<18} hybrid")
    for threads, stack in settings:
        texts = []
        for kind in ("dijkstra", "hybrid"):
            values = found[(kind, threads, stack)]
            texts.append(f"{statistics.median(values):.0f}, {max(values):.0f}")
        print(f"{threads:>7} {stack:>7}  {texts[0]:<18} {texts[1]}")


def roots(repetitions):
    found = {"precise": [], "conservative": []}
    rate = {"precise": [], "conservative": []}
    for i in range(repetitions):
        for kind in found:
            report = run(f"roots-{kind}-{i}", "--roots", kind, "--threads", 2, "--live", "64MiB", "--operations", 200000,
                         "--collections", 20, "--seed", i + 1)
            forced = [c["heap_bytes"]["live"] for c in report["cycles"] if c["trigger"] == "forced"][2:-1]
            found[kind].append(statistics.median(forced) - report["results"]["live_bytes"])
            rate[kind].append(sum(c.get("roots", {}).get("hits", 0) for c in report["cycles"]) / len(report["cycles"]))
    print(f"marked by forced cycles beyond the store's live bytes, KiB; median (least … most) of {repetitions} runs")
    for kind, values in found.items():
        print(f"{kind:>13}: {middle([v / 1024 for v in values], '{:.1f}')}, stack words that led to objects a cycle "
              f"{middle(rate[kind], '{:.1f}')}")


def stores(repetitions):
    subprocess.run([str(BIN / "micro"), "--benchmark_filter=store", f"--benchmark_repetitions={max(5, repetitions)}",
                    "--benchmark_enable_random_interleaving=true", "--benchmark_report_aggregates_only=true"], check=True)


def main():
    parts = {"kinds": kinds, "stacks": stacks, "roots": roots, "stores": stores}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*parts, "all"])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    for name, part in parts.items():
        if arguments.part in (name, "all"):
            part(arguments.repetitions)


if __name__ == "__main__":
    main()
