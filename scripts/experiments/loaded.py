#!/usr/bin/python3
"""Heap, stops and latency on a machine that is busy with other programs: Keel (both transitions) beside Go (docs/loaded.md).

Starts busy loops, runs `requests` and its twin in Go one after the other beside the same loops, round by round, and stops them.
Shown for each cell: heap at the end of a mark over its goal (cycles that the heap triggered, the first two left out), world stops
from the request until restart and the time to stop alone, the gaps of a control thread that sleeps a millisecond at a time
(Keel's; Go's twin has none), latency of requests, and peak resident memory. Go's stops are the sums of a cycle's two.
Above each table the control: as many threads as the cell has mutators, which do nothing but compute beside the same loops, and for how long
the system kept them from a core. A stop that waits for a mutator cannot be shorter than that.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import keelreport  # noqa: E402

BIN = ROOT / "build/release/bin"
OUT = ROOT / "out/experiments/loaded"
KINDS = {"keel stw": ["requests", "--transitions", "stw"], "keel handshake": ["requests", "--transitions", "handshake"],
         "go": ["requests-go"]}
# (live, GOGC, threads, busy loops a core). The first three are what the page leads with.
CELLS = [("2MiB", 50, 2, 1.5), ("64MiB", 100, 2, 1.5), ("64MiB", 100, 2, 2.0)]
MORE = [(live, gogc, 2, load) for load in (0, 1.5) for live, gogc in
        (("2MiB", 10), ("2MiB", 400), ("64MiB", 10), ("64MiB", 50), ("64MiB", 400), ("512MiB", 50), ("512MiB", 100))]
MORE += [("64MiB", 100, threads, load) for load in (0, 1.5) for threads in (1, 8, 64)]
# A loop that ends with its parent, whatever becomes of that, and after this many seconds in any case.
LOOP = "import os,time\np=os.getppid()\ne=time.time()+{limit}\nwhile os.getppid()==p and time.time()<e:\n for _ in range(100000): pass\n"
# A thread that computes: the times, in ns, between two looks at the clock that were longer than looking takes.
PROBE = """import json,time
end=time.monotonic_ns()+{seconds}*10**9
gaps=[]
last=time.monotonic_ns()
while last<end:
    now=time.monotonic_ns()
    if now-last>100_000: gaps.append(now-last)
    last=now
print(json.dumps(gaps))
"""


@contextlib.contextmanager
def busy(loops, limit):
    """`loops` processes that do nothing but take a core each, on the cores this process may use."""
    started = []
    try:
        for _ in range(loops):
            started.append(subprocess.Popen([sys.executable, "-c", LOOP.format(limit=limit)]))
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
        for process in started:
            process.wait()


def control(threads, seconds):
    """Gaps in ns of `threads` computing threads, all together; beside what runs already."""
    probes = [subprocess.Popen([sys.executable, "-c", PROBE.format(seconds=seconds)], stdout=subprocess.PIPE, text=True) for _ in range(threads)]
    return [gap for probe in probes for gap in json.loads(probe.communicate()[0])]


def run(kind, cell, seconds, i):
    live, gogc, threads, load = cell
    program, *arguments = KINDS[kind]
    return keelreport.run(BIN / program, OUT / f"{kind.replace(' ', '-')}-{live}-{gogc}-{threads}-{load}-{i}.json", *arguments, "--live", live,
                          "--gogc", gogc, "--threads", threads, "--duration", f"{seconds}s", "--seed", i + 1)


def at(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else None


def ms(value):
    return "-" if value is None else f"{value / 1e6:.1f}"


def ratio(value):
    return "-" if value is None else f"{value:.2f}"


class Figures:
    """Of all runs of one program in one cell."""

    def __init__(self):
        self.over_goal, self.stops, self.to_stop, self.hiccups, self.latencies, self.peaks = [], [], [], [], [], []
        self.operations = 0

    def add(self, report):
        cycles = [c for c in report["cycles"] if c["trigger"] == "heap" and c["heap_bytes"].get("goal")][2:]
        self.over_goal += [c["heap_bytes"]["mark_end"] / c["heap_bytes"]["goal"] for c in cycles]
        for pause in report.get("pauses", []):
            if pause["kind"] in ("sweep_termination", "mark_termination"):
                self.stops.append(pause["duration_ns"])
                self.to_stop.append(pause.get("time_to_stop_ns", 0))
        if not report.get("pauses"):
            # Go tells the sum of a cycle's two stops, of the last 256 cycles.
            self.stops += [p for p in report.get("memstats", {}).get("PauseNs", []) if p]
        hiccup = report.get("latency", {}).get("hiccup")
        if hiccup:
            self.hiccups.append((hiccup["p99_9_ns"], hiccup["max_ns"]))
        self.latencies.append(report["latency"]["simple"])
        self.peaks.append(report["run"]["peak_rss_bytes"])
        self.operations += report["run"]["operations"]

    def row(self):
        hiccup = [max(h[i] for h in self.hiccups) if self.hiccups else None for i in (0, 1)]
        return [str(len(self.over_goal)), *(ratio(at(self.over_goal, q)) for q in (0.5, 0.95, 1)),
                *(ms(at(self.stops, q)) for q in (0.5, 0.999, 1)), ms(at(self.to_stop, 1)), *map(ms, hiccup),
                ms(at([x["p99_ns"] for x in self.latencies], 0.5)), ms(max(x["max_ns"] for x in self.latencies)),
                f"{max(self.peaks) / 2**20:.0f}", str(self.operations)]


HEAD = ["", "cycles", "over goal p50", "p95", "worst", "stop p50 ms", "p99.9", "worst", "to stop, worst", "hiccup p99.9 ms",
        "worst", "request p99 ms", "worst", "peak MiB", "requests"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the three cells of the page, one short run each (about a minute)")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    cells = CELLS if arguments.quick else CELLS + MORE
    repetitions, seconds = (1, 5) if arguments.quick else (arguments.repetitions, arguments.seconds)
    kinds = [k for k in KINDS if (BIN / KINDS[k][0]).exists()]
    if "go" not in kinds:
        print("loaded.py: no requests-go: built without Go, shown without it", file=sys.stderr)
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()
    print(f"{cores} cores; load average before the first run {load[0]:.1f}, {load[1]:.1f}, {load[2]:.1f}; "
          f"{repetitions} runs of {seconds} s each, interleaved\n")
    for cell in cells:
        live, gogc, threads, loops = cell
        found = {kind: Figures() for kind in kinds}
        gaps = []
        number = round(loops * cores)
        for i in range(repetitions):
            with busy(number, 60 + (1 + len(kinds)) * (seconds + 120)):
                gaps += control(threads, seconds)
                for kind in kinds:
                    found[kind].add(run(kind, cell, seconds, i))
        print(f"{live} live, GOGC {gogc}, {threads} mutators, {number} busy loops\n")
        print(f"Control, {threads} threads that compute: kept from a core {len(gaps)} times in {repetitions * seconds} s; "
              f"p50 {ms(at(gaps, 0.5))} ms, p99.9 {ms(at(gaps, 0.999))} ms, worst {ms(at(gaps, 1))} ms\n")
        print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
        for kind, figures in found.items():
            print("| " + " | ".join([kind, *figures.row()]) + " |")
        print(flush=True)


if __name__ == "__main__":
    main()
