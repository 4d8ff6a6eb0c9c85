#!/usr/bin/python3
"""The figures of docs/maps.md and docs/workloads.md: maps, GOGC, the classics, strings and channels on every collector.

Configurations alternate within every round, each run is a process of its own; shown are medians of the rounds with the
range. Reports stay in out/experiments/workloads.
"""
import argparse
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import keelreport  # noqa: E402

BIN = ROOT / "build/release/bin"
OUT = ROOT / "out/experiments/workloads"


def run(name, program, *arguments):
    """One run; its report. A program that is not built (no Go, no Boehm) is skipped with a line."""
    if not (BIN / program).exists():
        print(f"workloads.py: {program} is not built, left out", file=sys.stderr)
        return None
    return keelreport.run(BIN / program, OUT / f"{name}.json", *arguments)


def spread(values, unit=1.0, digits=1):
    if not values:
        return "-"
    scaled = sorted(v / unit for v in values)
    return f"{statistics.median(scaled):.{digits}f} ({scaled[0]:.{digits}f}-{scaled[-1]:.{digits}f})"


MAP_SIDES = {
    "keel, go map": ("maps", ["--map", "go"]), "keel, swiss map": ("maps", ["--map", "swiss"]),
    "boehm, go map": ("maps", ["--collector", "boehm"]), "malloc, go map": ("maps", ["--collector", "malloc"]),
    "Go 1.19": ("maps-go", []),
}


def maps(arguments):
    """Every form: size, build, lookup, full collection."""
    found = {side: {} for side in MAP_SIDES}
    for i in range(arguments.rounds):
        for side, (program, extra) in MAP_SIDES.items():
            report = run(f"maps-{side.replace(', ', '-').replace(' ', '_')}-{i}", program, "--entries", arguments.entries, *extra)
            for form in report["results"]["forms"] if report else []:
                found[side].setdefault(form["form"], []).append(form)
    for form in next(iter(found.values())):
        print(f"\n{form}, {arguments.entries} entries, {arguments.rounds} rounds")
        print(f"{'':>16} {'MiB':>7} {'objects':>9} {'slots':>9} {'build, ms':>20} {'lookup, ns':>22} {'full collection, ms':>24}")
        for side, forms in found.items():
            runs = forms.get(form)
            if not runs:
                continue
            lookups = [ns for r in runs for ns in r["lookup_ns"]]
            times = [ns for r in runs for ns in r.get("collection_ns", [])]
            print(f"{side:>16} {runs[0]['bytes'] / 2**20:>7.1f} {runs[0]['objects']:>9} {runs[0].get('pointer_slots', '-'):>9} "
                  f"{spread([r['build_ns'] for r in runs], 1e6):>20} {spread(lookups):>22} {spread(times, 1e6, 2):>24}")


def gogc(arguments):
    """The rule of proportional growth on Keel and Go, plain, with a memory limit, with a ballast; and the plot."""
    settings = {"plain": [], "limit": ["--memory-limit", "160MiB"], "ballast": ["--ballast", "64MiB"]}
    reports = []
    print(f"{'':>18} {'slope, 50 to 800':>24}")
    for name, extra in settings.items():
        for side, program in (("keel", "gogc"), ("go", "gogc-go")):
            slopes = []
            for i in range(arguments.rounds):
                report = run(f"gogc-{side}-{name}-{i}", program, "--threads", "2", "--duration", f"{arguments.seconds}s", *extra)
                if report:
                    slopes.append(report["results"].get("slope"))
            if slopes:
                print(f"{side + ', ' + name:>18} {spread(slopes, 1, 3):>24}")
                reports.append(str(OUT / f"gogc-{side}-{name}-{arguments.rounds - 1}.json"))
    plot = OUT / "tradeoff.png"
    subprocess.run([str(ROOT / "scripts/plot_tradeoff.py"), *reports, "-o", str(plot)], check=True)
    print(f"plot: {plot}")


CLASSICS = {
    "gcbench": ["--repetitions", "5"], "binary_trees": ["--depth", "18", "--repetitions", "1"],
}


def classics(arguments):
    """gcbench and binary_trees, milliseconds a repetition, one and two threads."""
    for name, extra in CLASSICS.items():
        found = {}
        for i in range(arguments.rounds):
            for threads in ("1", "2"):
                for side in ("keel", "boehm", "malloc", "go"):
                    program = f"{name}-go" if side == "go" else name
                    more = [] if side == "go" else ["--collector", side]
                    report = run(f"{name}-{side}-{threads}-{i}", program, "--threads", threads, *more, *extra)
                    if report is None:
                        continue
                    measured = report["run"]["measured"]
                    each = int(threads) if name == "binary_trees" else 1
                    repetitions = report["run"]["operations"] / int(threads) if each == 1 else report["run"]["operations"] / each
                    found.setdefault((side, threads), []).append((measured["end_ns"] - measured["begin_ns"]) / repetitions)
        print(f"\n{name} {' '.join(extra)}: ms a repetition")
        for (side, threads), values in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
            print(f"  {side:>7}, {threads} threads: {spread(values, 1e6)}")


def strings(arguments):
    """Six ways of building a string."""
    found = {}
    for i in range(arguments.rounds):
        for side in ("keel", "boehm", "malloc", "go"):
            program = "strings-go" if side == "go" else "strings"
            report = run(f"strings-{side}-{i}", program, *([] if side == "go" else ["--collector", side]))
            for way in report["results"]["ways"] if report else []:
                found.setdefault((way["way"], side), []).append(way)
    print(f"\n{'':>20} {'ns a string':>26} {'bytes':>8} {'objects':>8} {'collections':>12}")
    for (way, side), runs in sorted(found.items()):
        ns = [n for r in runs for n in r["ns"]]
        print(f"{way + ', ' + side:>20} {spread(ns, 1, 0):>26} {runs[0]['bytes']:>8} {runs[0]['objects']:>8} {runs[0]['cycles']:>12}")


def channels(arguments):
    """A channel against a mutex and a deque of raw pointers: million objects a second."""
    print(f"\n{'':>34} {'channel':>20} {'mutex queue':>20}")
    for threads in ("1", "2"):
        for capacity in ("0", "1", "64"):
            for side in ("keel", "malloc", "go"):
                rates = ([], [])
                for i in range(arguments.rounds):
                    program = "channels-go" if side == "go" else "channels"
                    operations = "60000" if capacity == "0" else "400000"
                    report = run(f"channels-{side}-{threads}-{capacity}-{i}", program, *([] if side == "go" else ["--collector", side]),
                                 "--producers", threads, "--consumers", threads, "--capacity", capacity, "--operations", operations)
                    if report:
                        rates[0].append(report["results"]["channel_per_second"])
                        rates[1].append(report["results"]["mutex_queue_per_second"])
                if rates[0]:
                    name = f"{side}, {threads} + {threads}, capacity {capacity}"
                    print(f"{name:>34} {spread(rates[0], 1e6, 2):>20} {spread(rates[1], 1e6, 2):>20}")


FIGURES = {"maps": maps, "gogc": gogc, "classics": classics, "strings": strings, "channels": channels}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=[*FIGURES, "all"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--entries", type=int, default=1_000_000, help="of each map")
    parser.add_argument("--seconds", type=int, default=2, help="of each GOGC")
    arguments = parser.parse_args()
    for name, figure in FIGURES.items():
        if arguments.figure in (name, "all"):
            figure(arguments)


if __name__ == "__main__":
    main()
