#!/usr/bin/python3
"""Minimum mutator utilisation over window length, its bounded form (no longer window is worse), and without assists.

The curve leaves zero at the longest standstill and ends at the mutators' overall share. All curves are exact.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


def draw(reports, _):
    names = figure.labels(reports)
    plot, axes = plt.subplots(figsize=(7.5, 4.6))
    for i, report in enumerate(reports):
        windows = [m["window_ns"] / 1e6 for m in report["mmu"]]
        colour = style.COLOURS[i % 7]
        axes.plot(windows, [m["utilization"] for m in report["mmu"]], label=f"{names[i]}: MMU", linewidth=1.5, color=colour,
                  linestyle=style.DASHES[i % 7])
        if all("bounded" in m for m in report["mmu"]):
            axes.plot(windows, [m["bounded"] for m in report["mmu"]], label=f"{names[i]}: BMU", linewidth=0.7, color=colour)
        if any(m.get("without_assists", m["utilization"]) > m["utilization"] + 1e-9 for m in report["mmu"]):
            axes.plot(windows, [m["without_assists"] for m in report["mmu"]], label=f"{names[i]}: MMU, assists left out",
                      linewidth=1, color=colour, linestyle=":", marker=".", markersize=3)
        zero = max((m["window_ns"] for m in report["mmu"] if m["utilization"] <= 0), default=None)
        if zero:
            axes.plot([zero / 1e6], [0], marker="|", markersize=12, color=colour, clip_on=False)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("window (ms)")
    axes.set_ylabel("share of the window left to the mutators")
    axes.set_title("Mutator utilisation; | marks the longest window that can be lost whole")
    style.legend(axes, fontsize=7, loc="upper left")
    return plot


def lacks(report):
    return None if report.get("mmu") else "has no utilisation: no pause, a log without a clock, or records were dropped"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
