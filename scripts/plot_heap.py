#!/usr/bin/python3
"""The heap over time: its sawtooth between trigger and live, the goal, resident memory; collections shaded.

One panel a run, on one time axis.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


def series(report, key):
    found = [(s["at_ns"] / 1e9, s[key] / MIB) for s in report["samples"] if key in s]
    return [t for t, _ in found], [v for _, v in found]


def from_cycles(report, key):
    found = [((c["end_ns"] if key in ("live", "end") else c["begin_ns"]) / 1e9, c["heap_bytes"][key] / MIB)
             for c in report["cycles"] if key in c.get("heap_bytes", {})]
    return [t for t, _ in found], [v for _, v in found]


def draw(reports, _):
    names = figure.labels(reports)
    plot, axes = plt.subplots(len(reports), 1, figsize=(9.5, 1.2 + 2.5 * len(reports)), sharex=True, squeeze=False)
    for i, (report, panel) in enumerate(zip(reports, axes[:, 0])):
        for cycle in report["cycles"]:
            panel.axvspan(cycle["begin_ns"] / 1e9, max(cycle["end_ns"], cycle["begin_ns"] + 1) / 1e9, color="#bbbbbb", alpha=0.45, linewidth=0)
        times, heap = series(report, "heap_bytes")
        goal_t, goal = series(report, "heap_goal_bytes")
        rss_t, rss = series(report, "rss_bytes")
        if heap:
            panel.plot(times, heap, label="heap", linewidth=1.2, **style.line(0))
        if goal:
            panel.plot(goal_t, goal, label="goal", linewidth=1, **style.line(1))
        if rss:
            panel.plot(rss_t, rss, label="resident", linewidth=1, **style.line(2))
        for key, marker, word in (("trigger", "v", "trigger"), ("live", "o", "live after mark"), ("end", "o", "after the collection")):
            t, v = from_cycles(report, key)
            if v:
                panel.plot(t, v, marker, markersize=3, label=word, color=style.COLOURS[3 if key == "trigger" else 6], linestyle="none")
        panel.set_ylabel("MiB")
        panel.set_ylim(bottom=0)
        panel.set_title(f"{names[i]}: {len(report['cycles'])} collections (shaded)")
    axes[0, 0].legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncol=5)
    axes[-1, 0].set_xlabel("time (s)")
    return plot


def lacks(report):
    if any("heap_bytes" in s for s in report["samples"]) or any(c.get("heap_bytes") for c in report["cycles"]):
        return None
    return "says nothing of its heap"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
