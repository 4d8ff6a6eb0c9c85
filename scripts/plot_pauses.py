#!/usr/bin/python3
"""Pauses: their distribution by kind (share of pauses at least as long), and every one over time.

Left: complementary distributions from the complete totals, so that short pauses which the report does not list one by one
count too. Right: the listed pauses; world stops filled, those of single mutators hollow.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


WORDS = {"sweep_termination": "sweep termination", "mark_termination": "mark termination"}


def distribution(totals):
    """[(ns, share of pauses at least that long)] of histograms whose bucket edges agree."""
    counts = {}
    for total in totals:
        for lower, upper, count in total["histogram"]["buckets"]:
            counts[(lower + upper) / 2] = counts.get((lower + upper) / 2, 0) + count
    left = whole = sum(counts.values())
    points = []
    for value in sorted(counts):
        points.append((value, left / whole))
        left -= counts[value]
    return points


def time_to_stop(report):
    values = sorted(p["time_to_stop_ns"] for p in report["pauses"] if "time_to_stop_ns" in p)
    return [(max(v, 1), (len(values) - i) / len(values)) for i, v in enumerate(values)]


def draw(reports, _):
    names = figure.labels(reports)
    plot, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6))
    for i, report in enumerate(reports):
        kinds = figure.groups(report["pause_totals"], lambda t: t["kind"])
        for k, (kind, totals) in enumerate(sorted(kinds.items())):
            points = distribution(totals)
            left.step([v / 1e6 for v, _ in points], [s for _, s in points], where="post", linewidth=1.2,
                      color=style.COLOURS[k % 7] if len(reports) == 1 else style.COLOURS[i % 7],
                      linestyle=style.DASHES[k % 7] if len(reports) > 1 else style.DASHES[k % 7],
                      label=(f"{names[i]}: " if len(reports) > 1 else "") + WORDS.get(kind, kind.replace("_", " ")))
        reach = time_to_stop(report)
        if reach:
            left.step([v / 1e6 for v, _ in reach], [s for _, s in reach], where="post", linewidth=0.8, linestyle=(0, (1, 1)),
                      color="#555555" if len(reports) == 1 else style.COLOURS[i % 7],
                      label=(f"{names[i]}: " if len(reports) > 1 else "") + "time to stop")
        for world, look in ((True, {"s": 7, "alpha": 0.8}), (False, {"s": 5, "alpha": 0.35, "facecolors": "none", "linewidths": 0.5})):
            listed = [p for p in report["pauses"] if (p["kind"] in figure.STOPS) == world]
            if listed:
                colour = {"edgecolors": style.COLOURS[i % 7]} if not world else {"color": style.COLOURS[i % 7]}
                right.scatter([p["begin_ns"] / 1e9 for p in listed], [max(p["duration_ns"], 1) / 1e6 for p in listed],
                              marker="o^sDvP"[i % 6], rasterized=True, label=f"{names[i]}: {'world stops' if world else 'single mutators'}",
                              **look, **colour)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("pause (ms)")
    left.set_ylabel("share of pauses at least as long")
    left.set_title("Distribution by kind")
    right.set_yscale("log")
    right.set_xlabel("time (s)")
    right.set_ylabel("pause (ms)")
    right.set_title("Over time")
    style.legend(left, fontsize=6, loc="lower left")
    style.legend(right, fontsize=6.5, loc="upper right")
    return plot


def lacks(report):
    return None if report["pauses"] else "has no pause to plot"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
