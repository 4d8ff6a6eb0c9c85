#!/usr/bin/python3
"""Where the CPU went: a bar a run, in cores: mutators, dedicated, fractional and idle workers, assists, stops, sweeping.

Below, for the first run, the collector's parts cycle by cycle.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


PARTS = (("dedicated", "dedicated workers"), ("fractional", "fractional workers"), ("background", "workers"), ("idle", "idle workers"),
         ("assist", "assists"), ("pause", "stops, all cores"), ("sweep", "sweeping"), ("scavenge", "scavenging"))
HATCHES = ("", "//", "//", "..", "xx", "", "\\\\", "--")
SHADES = ("#0072B2", "#56B4E9", "#56B4E9", "#999999", "#D55E00", "#000000", "#009E73", "#E69F00")


def draw(reports, _):
    names = figure.labels(reports)
    plot, (top, bottom) = plt.subplots(2, 1, figsize=(9.5, 6.6), gridspec_kw={"height_ratios": [1, 1.1]})
    used = [p for p in PARTS if any(p[0] in c.get("cpu_ns", {}) for r in reports for c in r["cycles"])]
    for i, report in enumerate(reports):
        wall = max(1, report["run"]["wall_ns"])
        left = 0
        parts = {key: sum(c.get("cpu_ns", {}).get(key, 0) for c in report["cycles"]) / wall for key, _ in used}
        total = (report["run"].get("user_cpu_ns", 0) + report["run"].get("system_cpu_ns", 0)) / wall
        # Stops count idle cores: they are no CPU time of the process.
        mutators = total - sum(v for k, v in parts.items() if k != "pause")
        if total and mutators > 0:
            top.barh(i, mutators, color="#dddddd", edgecolor="#444444", linewidth=0.4, label="mutators and the rest" if i == 0 else None)
            left = mutators
        for (key, word) in used:
            n = [k for k, _ in PARTS].index(key)
            top.barh(i, parts[key], left=left, color=SHADES[n], hatch=HATCHES[n], edgecolor="white", linewidth=0.3, label=word if i == 0 else None)
            left += parts[key]
    top.set_yticks(range(len(reports)), names, fontsize=7)
    top.invert_yaxis()
    top.set_xlabel("cores")
    top.set_title("Cores used over the whole run")
    top.legend(fontsize=6.5, ncol=4, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    cycles = [c for c in reports[0]["cycles"] if c.get("cpu_ns")]
    base = [0] * len(cycles)
    for key, word in used:
        n = [k for k, _ in PARTS].index(key)
        heights = [c["cpu_ns"].get(key, 0) / 1e6 for c in cycles]
        bottom.bar([c["number"] for c in cycles], heights, bottom=base, width=1, color=SHADES[n], linewidth=0, label=word)
        base = [b + h for b, h in zip(base, heights)]
    bottom.set_xlabel("collection")
    bottom.set_ylabel("CPU (ms)")
    bottom.set_title(f"By collection, {names[0]}")
    return plot


def lacks(report):
    return None if any(c.get("cpu_ns") for c in report["cycles"]) else "does not say what its collections cost in CPU"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
