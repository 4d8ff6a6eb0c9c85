#!/usr/bin/python3
"""LastGC over time as a sawtooth, GC cycles per minute beneath, and the resident memory that a ballast costs.

Each tooth of the first panel is the time between two collections: seconds since the last one ended, so a peak is an
interval. Runs are laid over each other from the start of their measured part.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


def teeth(report):
    """Each tooth as (begin, end, seconds already passed at its begin), in s since measuring began."""
    begin, end = keelreport.measured(report)
    ends = [c["end_ns"] for c in report["cycles"] if c["end_ns"] <= end]
    last = max([e for e in ends if e <= begin], default=begin)
    result, at = [], begin
    for e in [e for e in ends if e > begin] + [end]:
        result.append(((at - begin) / 1e9, (e - begin) / 1e9, (at - last) / 1e9))
        at = last = e
    return result


def draw_teeth(axes, report, window=None, **look):
    """The sawtooth, each ramp with points enough to be right on a log axis too."""
    times, values = [], []
    for begin, end, passed in teeth(report):
        if window and (end < window[0] or begin > window[1]):
            continue
        for i in range(13):
            part = (i / 12) ** 3  # closer together near the collection, where a log axis bends most
            times.append(begin + (end - begin) * part)
            values.append(passed + (end - begin) * part)
        times.append(end)
        values.append(0)
    axes.plot(times, values, **look)


def cycles_per_minute(report):
    """Edges and heights of a step line: collections per minute in windows of at least six collections each."""
    begin, end = keelreport.measured(report)
    starts = [c["begin_ns"] for c in report["cycles"] if begin <= c["begin_ns"] < end]
    windows = max(1, min(24, len(starts) // 6))
    width = (end - begin) / windows
    counts = [0] * windows
    for t in starts:
        counts[min(windows - 1, int((t - begin) / width))] += 1
    return [i * width / 1e9 for i in range(windows + 1)], [n * 60e9 / width for n in counts]


def whole_run_rate(report):
    begin, end = keelreport.measured(report)
    return sum(begin <= c["begin_ns"] < end for c in report["cycles"]) * 60e9 / (end - begin)


def draw(reports, _):
    names = figure.labels(reports)
    plot = plt.figure(figsize=(9, 8.4))
    grid = plot.add_gridspec(3, 2, height_ratios=[2, 1.2, 1.2], width_ratios=[2.2, 1])
    top = plot.add_subplot(grid[0, 0])
    zoom = plot.add_subplot(grid[0, 1])
    middle = plot.add_subplot(grid[1, :])
    bottom = plot.add_subplot(grid[2, :], sharex=middle)
    # The shortest teeth, to scale: a window of about twelve of the fastest run's.
    fastest = max(reports, key=whole_run_rate)
    lengths = [(keelreport.measured(r)[1] - keelreport.measured(r)[0]) / 1e9 for r in reports]
    rate = whole_run_rate(fastest)
    span = 12 * 60 / rate if rate else max(lengths)
    middle_of_shortest = min(lengths) / 2
    window = (middle_of_shortest, middle_of_shortest + span)
    for i, report in enumerate(reports):
        name = names[i]
        look = style.line(i)
        dense = whole_run_rate(report) / 60 * lengths[i] > 60
        # Dense sawteeth first, so that the sparse ones stay in sight.
        draw_teeth(top, report, label=name, linewidth=0.4 if dense else 1.1, color=look["color"],
                   alpha=0.55 if dense else 1, zorder=2 if dense else 3)
        draw_teeth(zoom, report, window, linewidth=1.1, **look)
        edges, rates = cycles_per_minute(report)
        middle.stairs(rates, edges, baseline=None, linewidth=1.4, color=look["color"], linestyle=look["linestyle"],
                      label=f"{name}: {whole_run_rate(report):,.3g} a minute".replace("e+03", " k"))
        begin, end = keelreport.measured(report)
        samples = [s for s in report["samples"] if begin <= s["at_ns"] <= end and "rss_bytes" in s]
        bottom.plot([(s["at_ns"] - begin) / 1e9 for s in samples], [s["rss_bytes"] / MIB for s in samples],
                    linewidth=1.2, label=name, **look)
    top.set_ylabel("time since last collection (s)")
    top.set_yscale("log")
    top.set_ylim(bottom=3e-3)
    top.set_xlabel("time since requests are measured (s)")
    top.set_title("LastGC: each tooth is the time between two collections")
    zoom.set_xlim(*window)
    zoom.set_ylim(0, span / 3)
    zoom.set_xlabel("time (s)")
    zoom.set_title("the same, to scale")
    middle.set_ylabel("GC cycles per minute")
    middle.set_yscale("log")
    middle.set_title("Collections")
    bottom.set_ylabel("resident (MiB)")
    if any("rss_bytes" in s for r in reports for s in r["samples"]):
        bottom.set_yscale("log")
    bottom.set_xlabel("time since requests are measured (s)")
    bottom.set_title("The price: garbage that becomes resident between collections")
    handles = top.get_legend_handles_labels()
    legend = top.legend(*handles, loc="upper right", ncol=2)
    for handle in legend.legend_handles if hasattr(legend, "legend_handles") else legend.legendHandles:
        handle.set_linewidth(2)
        handle.set_alpha(1)
    middle.legend(loc="center right", fontsize=7.5)
    return plot


def lacks(report):
    return None if report["cycles"] else "has no collection to plot"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
