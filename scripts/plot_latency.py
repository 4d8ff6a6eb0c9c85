#!/usr/bin/python3
"""Request latency by percentile, simple (solid) and metered (dashed), and how the percentiles depend on the window.

Metered latency charges a request from when it would have come at a smooth rate; the window says how smooth. The machine's
own stalls stand beside (grey): a tail below them is not the collector's.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


TICKS = (0, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def curve(latency):
    """[(1 / (1 - p), ms)] from the histogram."""
    seen, points = 0, []
    count = latency["count"]
    for lower, upper, n in latency["histogram"]["buckets"]:
        points.append((count / (count - seen), (lower + upper) / 2e6))
        seen += n
    points.append((count, latency["max_ns"] / 1e6))
    return points


def draw(reports, _):
    names = figure.labels(reports)
    plot, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6))
    for i, report in enumerate(reports):
        latency = report["latency"]
        colour = style.COLOURS[i % 7]
        points = curve(latency["simple"])
        left.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=1.5, label=f"{names[i]}: simple")
        if latency.get("metered"):
            points = curve(latency["metered"][-1])
            left.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=1.2, linestyle="--",
                      label=f"{names[i]}: metered over the run")
            for key, marker, word in (("p50_ns", "o", "p50"), ("p99_ns", "^", "p99"), ("p99_9_ns", "s", "p99.9")):
                row = [(0.1, latency["simple"].get(key))] + [(m["window_ns"] / 1e6, m.get(key)) for m in latency["metered"]]
                row = [(x, y / 1e6) for x, y in row if y]
                right.plot([x for x, _ in row], [y for _, y in row], color=colour, marker=marker, markersize=4, linewidth=1,
                           linestyle=style.DASHES[i % 7], label=f"{names[i]}: {word}")
        if "histogram" in latency.get("hiccup", {}):
            points = curve(latency["hiccup"])
            left.plot([x for x, _ in points], [max(y, 1e-4) for _, y in points], color="#999999", linewidth=0.9,
                      linestyle=style.DASHES[i % 7], label="machine's own stalls" if i == 0 else None)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xticks([1 / (1 - p) for p in TICKS], [f"{100 * p:g}" for p in TICKS])
    left.set_xlabel("percentile")
    left.set_ylabel("latency (ms)")
    left.set_title("By percentile")
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("smoothing window (ms); leftmost: none")
    right.set_ylabel("latency (ms)")
    right.set_title("By smoothing window")
    style.legend(left, fontsize=6.5, loc="upper left")
    if right.get_legend_handles_labels()[0]:
        right.legend(fontsize=6.5, loc="upper left")
    return plot


def lacks(report):
    return None if "histogram" in report.get("latency", {}).get("simple", {}) else "has no request latencies"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
