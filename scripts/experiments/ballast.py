#!/usr/bin/python3
"""The figures of docs/ballast.md, each from runs that alternate between the settings compared.

  law        A/n = g (M + S) for ballasts of 0 to 1 GiB: ratio, floating garbage, peak over goal
  memory     resident memory at equal points without and with 10 GiB, virtual memory, and a 4 TiB ballast
  mark-time  mark time of forced cycles against the ballast, 0 B to 4 TiB
  mark-graph full collections of 5 million small objects: Keel against Boehm
"""
import argparse
import json
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import keelreport  # noqa: E402
from keelreport import GIB, MIB  # noqa: E402

BIN = ROOT / "build/release/bin"
OUT = ROOT / "out/experiments"
TIB = 1 << 40


def run(name, program, *arguments):
    """One run; its report."""
    return keelreport.run(BIN / program, OUT / f"{name}.json", *arguments)


def spread(values, form="{:.3f}"):
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} … {form.format(max(values))})"


def law(repetitions):
    sizes = {0: 12, 64 * MIB: 12, 256 * MIB: 14, 512 * MIB: 20, GIB: 35}
    rows = {size: [] for size in sizes}
    for i in range(repetitions):
        for size, seconds in sizes.items():
            report = run(f"law-{keelreport.size(size)}-{i}", "ballast", "--threads", 2, "--live", "64MiB", "--periodic",
                         "off", "--duration", f"{seconds}s", "--ballast", keelreport.size(size), "--seed", i + 1)
            rows[size].append(keelreport.law(report))
    print(f"law of the ballast, live 64 MiB, GOGC 100, 2 mutators, median (least … most) of {repetitions} runs")
    print(f"{'ballast':>8} {'least n':>7}  {'A/n / (g(M+S))':<24} {'floating MiB':<22} {'peak/goal':<24} cycles n(M+S)/A")
    medians = []
    for size, found in rows.items():
        inverse = [1 / f["ratio"] for f in found]
        medians.append(statistics.median(inverse))
        print(f"{keelreport.size(size):>8} {min(f['n'] for f in found):>7}  {spread([f['ratio'] for f in found]):<24} "
              f"{spread([f['floating'] / MIB for f in found], '{:.1f}'):<22} "
              f"{spread([f['peak_to_goal'] for f in found]):<24} {spread(inverse)}")
    mean = statistics.mean(medians)
    worst_law = max(abs(statistics.median([f["ratio"] for f in found]) - 1) for found in rows.values())
    worst_constant = max(abs(m / mean - 1) for m in medians)
    print(f"A/n is within {100 * worst_law:.1f} % of g(M+S) (bound 8 %); n(M+S)/A is within {100 * worst_constant:.1f} % of "
          f"its mean over all ballasts (bound 5 %)")
    return worst_law <= 0.08 and worst_constant <= 0.05 and all(f["n"] >= 30 for found in rows.values() for f in found)


def memory(repetitions):
    sizes = [0, 10 * GIB, 4 * TIB]
    rows = {size: [] for size in sizes}
    for i in range(repetitions):
        for size in sizes:
            report = run(f"memory-{keelreport.size(size)}-{i}", "ballast", "--threads", 2, "--live", "64MiB",
                         "--operations", 100000, "--collections", 10, "--ballast", keelreport.size(size), "--seed", 1)
            rows[size].append(report["run"])
    print(f"resident memory at equal points, 100,000 requests with 10 forced collections, median of {repetitions} runs (MiB)")
    print(f"{'ballast':>8} {'before requests':>16} {'after collection':>17} {'peak':>9} {'virtual':>12}")
    medians = {}
    for size, runs in rows.items():
        m = {k: statistics.median(r[k] for r in runs) / MIB
             for k in ("rss_start_bytes", "rss_end_bytes", "peak_rss_bytes", "virtual_bytes")}
        medians[size] = m
        print(f"{keelreport.size(size):>8} {m['rss_start_bytes']:>16.2f} {m['rss_end_bytes']:>17.2f} "
              f"{m['peak_rss_bytes']:>9.1f} {m['virtual_bytes']:>12.1f}")
    good = True
    for size in sizes[1:]:
        differences = [abs(medians[size][k] - medians[0][k]) for k in ("rss_start_bytes", "rss_end_bytes")]
        grown = medians[size]["virtual_bytes"] - medians[0]["virtual_bytes"]
        good = good and max(differences) <= 2
        print(f"{keelreport.size(size)}: resident differs by {differences[0]:.2f} MiB before the first request, "
              f"{differences[1]:.2f} MiB after the final collection (bound 2); virtual grows by {grown / 1024:.2f} GiB")
    return good


def mark_time(repetitions):
    sizes = [0, GIB, 10 * GIB, TIB, 4 * TIB]
    rows = {size: [] for size in sizes}
    for i in range(repetitions):
        for size in sizes:
            report = run(f"mark-{keelreport.size(size)}-{i}", "ballast", "--threads", 1, "--live", "64MiB", "--objects", 8,
                         "--operations", 20000, "--collections", 20, "--ballast", keelreport.size(size), "--seed", i + 1)
            begin, end = keelreport.measured(report)
            marks = [c["durations_ns"]["mark"] / 1e6 for c in report["cycles"]
                     if c["trigger"] == "forced" and begin <= c["begin_ns"] <= end]
            rows[size].append(statistics.median(marks))
    print(f"mark time of forced cycles (ms), 20 a run, median (least … most) of {repetitions} runs' medians")
    for size, found in rows.items():
        print(f"{keelreport.size(size):>8} {spread(found)}")
    low, high = min(map(statistics.median, rows.values())), max(map(statistics.median, rows.values()))
    bound = 1.25 * max(rows[0])
    print(f"from 0 B to 4 TiB the medians lie within a factor of {high / low:.2f}; all are at most {bound:.2f} ms, 1.25 times "
          f"the slowest run without ballast: {'yes' if high <= bound else 'no'}")
    return high <= bound


def mark_graph(repetitions):
    rows = {"keel": [], "boehm": []}
    for i in range(repetitions):
        for collector in rows:
            report = run(f"graph-{collector}-{i}", "mark_graph", "--collector", collector, "--collections", 5, "--seed", i + 1)
            rows[collector].append(statistics.median(report["results"]["collection_ns"]) / 1e6)
    print(f"full collection of 5 million objects of 24 B (ms), median (least … most) of {repetitions} runs' medians of 5")
    for collector, found in rows.items():
        print(f"{collector:>8} {spread(found, '{:.0f}')}")
    ratio = statistics.median(rows["boehm"]) / statistics.median(rows["keel"])
    print(f"Boehm takes {ratio:.1f} times as long as Keel")
    return ratio > 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=["law", "memory", "mark-time", "mark-graph"])
    parser.add_argument("--repetitions", type=int, default=5, help="runs of each setting [5]")
    arguments = parser.parse_args()
    if arguments.repetitions < 1:
        parser.error(f"option --repetitions: {arguments.repetitions} is below 1")
    good = {"law": law, "memory": memory, "mark-time": mark_time, "mark-graph": mark_graph}[arguments.figure](arguments.repetitions)
    print(json.dumps({"figure": arguments.figure, "within_bounds": good}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
