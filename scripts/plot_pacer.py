#!/usr/bin/python3
"""The pacer, cycle by cycle, in the four panels of Go's pacer design: heap, CPU utilisation, overshoot, cons/mark.

x is the collection's number. The first run alone has all its heap lines; further runs add theirs to the other panels.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


def values(report, read):
    found = []
    for cycle in report["cycles"]:
        try:
            found.append((cycle["number"], read(cycle)))
        except KeyError:
            continue
    return [n for n, _ in found], [v for _, v in found]


def utilization(cycle):
    if "pacing" in cycle:
        return cycle["pacing"]["utilization"]
    return cycle["utilization"]


def draw(reports, _):
    names = figure.labels(reports)
    plot, ((heap, cpu), (over, ratio)) = plt.subplots(2, 2, figsize=(10.5, 6.4), sharex=True)
    first = reports[0]
    for i, (key, word) in enumerate((("goal", "goal"), ("trigger", "trigger"), ("mark_end", "peak"), ("live", "live"))):
        n, v = values(first, lambda c, k=key: c["heap_bytes"][k] / MIB)
        if v:
            heap.plot(n, v, label=word, linewidth=1.2, **style.line(i))
    n, v = values(first, lambda c: c["scanned_bytes"]["stacks"] / MIB)
    if v:
        heap.plot(n, v, label="stacks", linewidth=1, **style.line(4))
    heap.set_title(f"Heap, {names[0]}")
    heap.set_ylabel("MiB")
    heap.legend(fontsize=7)
    for i, report in enumerate(reports):
        look = dict(linewidth=1.1, label=names[i], **style.line(i))
        n, v = values(report, utilization)
        if v:
            cpu.plot(n, v, **look)
        n, v = values(report, lambda c: 100 * (c["heap_bytes"]["mark_end"] / c["heap_bytes"]["goal"] - 1))
        if v:
            over.plot(n, v, **look)
        n, v = values(report, lambda c: c["pacing"]["cons_mark"])
        if v:
            ratio.plot(n, v, **look)
    cpu.axhline(0.25, color="#888888", linewidth=0.8)
    cpu.set_title("GC share of the cores while marking; the line is the target")
    cpu.set_ylabel("share")
    over.axhline(0, color="#888888", linewidth=0.8)
    over.set_title("Overshoot: peak over goal")
    over.set_ylabel("%")
    over.set_yscale("symlog", linthresh=20)  # the first collections know no goal yet
    ratio.set_title("cons/mark: bytes allocated per byte scanned")
    ratio.set_ylabel("ratio")
    for panel in (over, ratio):
        panel.set_xlabel("collection")
    for panel in (cpu, over, ratio):
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=7)
        else:
            panel.text(0.5, 0.5, "not in these reports", transform=panel.transAxes, ha="center")
    return plot


def lacks(report):
    return None if any("goal" in c.get("heap_bytes", {}) for c in report["cycles"]) else "has no heap goals: its collector has no pacer to show"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
