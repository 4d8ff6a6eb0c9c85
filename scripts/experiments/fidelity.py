#!/usr/bin/python3
"""Does Keel pace as the real Go does? The table of docs/fidelity.md.

`ballast` and its Go twin run the same operations over GOGC x ballast x live size x memory limit, alternating. For each
cell with enough unforced cycles in both, from the medians over its cycles:

  distance  allocated between the ends of two marks / (g * (marked + stacks + globals))
  peak      live bytes at the end of the mark / goal
  trigger   live bytes when marking began / goal

and the ratio Keel / Go of each. Beside them the raw counts, so that a difference splits into allocation, live size and
pacing. A cell whose cycles would take too many bytes to count is listed as too slow, not dropped.
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
OUT = ROOT / "out/experiments/fidelity"
GOGC = (25, 50, 100, 200, 400)
BALLASTS = (0, 64 * MIB, GIB)
LIVES = (32 * MIB, 128 * MIB)
REQUEST_BYTES = 64 * 96
LEAST_CYCLES = 20
WANTED_CYCLES = 26
SETTLING = 4  # the cons/mark estimate is a maximum over five cycles
MOST_BYTES = 36 * GIB
FLOATING = 24 * MIB  # garbage that marking keeps, roughly: it was allocated while marking


def operations(gogc, ballast, live):
    """Requests for the wanted number of cycles after settling, with the garbage that floats here."""
    return int(WANTED_CYCLES * (gogc / 100) * (live + ballast + FLOATING) * 1.2 / REQUEST_BYTES)


def run(program, name, arguments, again):
    report = OUT / f"{name}.json"
    if again and report.exists():
        return keelreport.load(report)
    return keelreport.run(BIN / program, report, *arguments)


def measure(report):
    """Medians over the unforced cycles of the measured part, once the pacer has settled."""
    gogc = report["collector"]["gogc_percent"] / 100
    begin = report["run"]["measured"]["begin_ns"]
    rows = []
    cycles = report["cycles"]
    for before, cycle in zip(cycles, cycles[1:]):
        if cycle["trigger"] == "forced" or before["trigger"] == "forced" or before["begin_ns"] < begin:
            continue
        heap, roots = cycle["heap_bytes"], before["scanned_bytes"]
        marked = before["heap_bytes"]["live"]
        base = marked + roots["stacks"] + roots["globals"]
        rows.append({"distance": (heap["mark_end"] - marked) / (gogc * base), "peak": heap["mark_end"] / heap["goal"],
                     "trigger": heap["begin"] / heap["goal"], "allocated": heap["mark_end"] - marked, "marked": marked})
    rows = rows[SETTLING:]
    if not rows:
        return {"n": 0}
    return {"n": len(rows)} | {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def cell(gogc, ballast, live, limit, again):
    row = {"gogc": gogc, "ballast": ballast, "live": live, "limit": limit}
    if operations(gogc, ballast, live) * REQUEST_BYTES > MOST_BYTES:
        return row | {"too_slow": True}
    arguments = ["--threads", "2", "--live", keelreport.size(live), "--ballast", keelreport.size(ballast), "--gogc",
                 str(gogc), "--memory-limit", str(limit) if limit else "off", "--operations",
                 str(operations(gogc, ballast, live))]
    name = f"{gogc}-{keelreport.size(ballast)}-{keelreport.size(live)}-{'limit' if limit else 'off'}"
    for program, who in (("ballast", "keel"), ("ballast-go", "go")):
        row[who] = measure(run(program, f"{name}-{who}", arguments, again))
    print(f"  {name}: keel {row['keel']['n']}, go {row['go']['n']} cycles", file=sys.stderr, flush=True)
    return row


def table(rows):
    print("GOGC  ballast     live limit    n keel  n go | distance: keel     go  ratio | peak: keel     go  ratio |"
          " trigger: keel     go  ratio | allocated MiB   marked MiB")
    ratios = {"distance": [], "peak": [], "trigger": []}
    few = 0
    for r in rows:
        head = (f"{r['gogc']:>4} {keelreport.size(r['ballast']):>8} {keelreport.size(r['live']):>8} "
                f"{keelreport.size(r['limit']) if r['limit'] else 'off':>7}")
        if r.get("too_slow"):
            print(f"{head}  too slow: {operations(r['gogc'], r['ballast'], r['live']) * REQUEST_BYTES / GIB:.0f} GiB to "
                  f"allocate for {WANTED_CYCLES} cycles")
            continue
        keel, go = r["keel"], r["go"]
        if min(keel["n"], go["n"]) < LEAST_CYCLES:
            few += 1
            print(f"{head}  {keel['n']:>6} {go['n']:>5} | fewer than {LEAST_CYCLES} cycles")
            continue
        text = f"{head}  {keel['n']:>6} {go['n']:>5}"
        for key, width in (("distance", 14), ("peak", 10), ("trigger", 13)):
            ratio = keel[key] / go[key]
            ratios[key].append(ratio)
            text += f" | {keel[key]:>{width}.3f} {go[key]:>6.3f} {ratio:>6.3f}"
        text += (f" | {keel['allocated'] / MIB:>6.1f} {go['allocated'] / MIB:>6.1f}"
                 f" {keel['marked'] / MIB:>6.1f} {go['marked'] / MIB:>6.1f}")
        print(text)
    fine = True
    for key, values in ratios.items():
        off = [abs(v - 1) for v in values]
        median, worst = statistics.median(off), max(off)
        fine = fine and median <= 0.05 and worst <= 0.15
        print(f"{key}: {len(values)} cells, |keel / go - 1| median {median:.1%} (bound 5 %), worst {worst:.1%} (bound 15 %)")
    print(f"{few} cells with too few cycles, {sum(bool(r.get('too_slow')) for r in rows)} too slow to count")
    return 0 if fine else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="read the reports of an earlier run where they exist")
    parser.add_argument("--gogc", type=int, nargs="*", default=GOGC, help="only these percentages")
    parser.add_argument("--no-limit", action="store_true", help="only without a memory limit")
    arguments = parser.parse_args()
    if not (BIN / "ballast-go").exists():
        sys.exit("fidelity.py: build/release/bin/ballast-go is missing: install golang-go, then build")
    rows = []
    for live in LIVES:
        for ballast in BALLASTS:
            for gogc in arguments.gogc:
                # A limit that binds at GOGC=400 only.
                for limit in (0,) if arguments.no_limit else (0, 4 * (live + ballast)):
                    rows.append(cell(gogc, ballast, live, limit, arguments.keep))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "fidelity.json").write_text(json.dumps(rows, indent=1))
    sys.exit(table(rows))


if __name__ == "__main__":
    main()
