#!/usr/bin/python3
"""What changing phase costs the mutators: `--transitions stw` against `handshake` (docs/transitions.md).

`ballast` with 1, 8 and 64 mutators on shallow and deep stacks, alternating. Every interruption of a mutator is split into
wait (standing in a stop), its own stack scan, and the rest. Shown: world stops, and the distribution of wait + rest, and
of the stack scan, over all interruptions of all runs.
"""
import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import keelreport  # noqa: E402

BIN = ROOT / "build/release/bin"
OUT = ROOT / "out/experiments/transitions"
TRANSITIONS = ("stw", "handshake")
SETTINGS = [(threads, stack) for threads in (1, 8, 64) for stack in ("0B", "1MiB")]


def run(transitions, threads, stack, barrier, seconds, i):
    return keelreport.run(BIN / "ballast", OUT / f"{barrier}-{transitions}-{threads}-{stack}-{i}.json", "--transitions", transitions, "--barrier",
                          barrier, "--threads", threads, "--stack", stack, "--live", "64MiB", "--duration", f"{seconds}s", "--seed", i + 1)


def quantile(values, q):
    """Of a sorted list; None if the rank is not in it."""
    return values[min(len(values) - 1, int(q * len(values)))] if values else None


class Interruptions:
    """All interruptions of the runs added; the report has the longest 10,000 of each run, the rest are shorter."""

    def __init__(self):
        self.count, self.moving, self.stack, self.stops, self.stop_max, self.missing = 0, [], [], 0, 0, 0

    def add(self, report):
        listed = [p["parts_ns"] for p in report["pauses"] if p["kind"] == "handshake"]
        self.moving += [p["wait"] + p["rest"] for p in listed]
        self.stack += [p["own_stack"] for p in listed if p["own_stack"]]
        for total in report["pause_totals"]:
            if total["kind"] == "handshake":
                self.count += total["count"]
            elif total["kind"] in ("sweep_termination", "mark_termination"):
                self.stops += total["count"]
                self.stop_max = max(self.stop_max, total["max_ns"])
        self.missing = self.count - len(self.moving)

    def at(self, values, q):
        """From the top: what is not listed is shorter than what is."""
        rank = int(self.count * (1 - q))
        ordered = sorted(values, reverse=True)
        return ordered[rank] / 1000 if rank < len(ordered) else None


def us(value):
    return "-" if value is None else f"{value:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--barrier", default="hybrid", help="hybrid, hybrid-conditional or dijkstra")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    found = {(t, *setting): Interruptions() for t in TRANSITIONS for setting in SETTINGS}
    for i in range(arguments.repetitions):
        for setting in SETTINGS:
            for transitions in TRANSITIONS:
                found[(transitions, *setting)].add(run(transitions, *setting, arguments.barrier, arguments.seconds, i))
    print(f"{arguments.barrier}, {arguments.repetitions} x {arguments.seconds} s each; microseconds")
    print("transitions threads stack | world stops    max | interruptions   wait + rest: p50    p99  p99.9     max |"
          " own stack: p50    p99     max")
    for setting in SETTINGS:
        for transitions in TRANSITIONS:
            f = found[(transitions, *setting)]
            scans = sorted(f.stack)
            print(f"{transitions:>11} {setting[0]:>7} {setting[1]:>5} | {f.stops:>11} {us(f.stop_max / 1000):>6} |"
                  f" {f.count:>13} {us(f.at(f.moving, 0.5)):>18} {us(f.at(f.moving, 0.99)):>6}"
                  f" {us(f.at(f.moving, 0.999)):>6} {us(max(f.moving, default=0) / 1000):>7} |"
                  f" {us((quantile(scans, 0.5) or 0) / 1000):>14} {us((quantile(scans, 0.99) or 0) / 1000):>6}"
                  f" {us((scans[-1] if scans else 0) / 1000):>7}")


if __name__ == "__main__":
    main()
