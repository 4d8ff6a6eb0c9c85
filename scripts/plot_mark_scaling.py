#!/usr/bin/python3
"""Mark scaling: median mark time and scan rate against the number of mark workers, with what perfect sharing would give.

Give it runs of one workload with different --mark-workers; runs of the same number are pooled.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


def marks(report):
    """[(ns, bytes scanned or None)] of the measured collections that marked."""
    return [(c["durations_ns"]["mark"], c.get("scanned_bytes", {}).get("heap")) for c in figure.measured_cycles(report)
            if c.get("durations_ns", {}).get("mark")]


def draw(reports, _):
    plot, (time, rate) = plt.subplots(1, 2, figsize=(9.5, 4.2))
    lines = figure.groups(reports, lambda r: f"{r['workload']['name']}, {keelreport.label(r)}")
    for i, (name, runs) in enumerate(lines.items()):
        by_workers = sorted(figure.groups(runs, lambda r: r["collector"]["mark_workers"]).items())
        workers = [w for w, _ in by_workers]
        pooled = [[ns / 1e6 for r in rs for ns, _ in marks(r)] for _, rs in by_workers]
        middle = [figure.median(p) for p in pooled]
        low = [m - sorted(p)[len(p) // 10] for m, p in zip(middle, pooled)]
        high = [sorted(p)[-1 - len(p) // 10] - m for m, p in zip(middle, pooled)]
        look = style.line(i)
        time.errorbar(workers, middle, yerr=[low, high], marker="o^sDvP"[i % 6], markersize=4, capsize=3, linewidth=1.2,
                      label=f"{name} (median, p10 to p90)", **look)
        ideal = [middle[0] * workers[0] / w for w in workers]
        time.plot(workers, ideal, color=look["color"], linewidth=0.7, linestyle=(0, (1, 2)), label="perfect sharing" if i == 0 else None)
        rates = []
        for w, rs in by_workers:
            values = [b / MIB / (ns / 1e9) / w for r in rs for ns, b in marks(r) if b]
            if values:
                rates.append((w, figure.median(values)))
        if rates:
            rate.plot([w for w, _ in rates], [v for _, v in rates], marker="o^sDvP"[i % 6], markersize=4, linewidth=1.2, label=name, **look)
    for panel in (time, rate):
        panel.set_xlabel("mark workers")
        panel.set_ylim(bottom=0)
        panel.xaxis.get_major_locator().set_params(integer=True)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=6.5)
    time.set_ylabel("mark (ms)")
    time.set_title("Mark time")
    rate.set_ylabel("MiB scanned a second and worker")
    rate.set_title("Scan rate of a worker: flat is perfect")
    return plot


def lacks(report):
    if "mark_workers" not in report["collector"]:
        return "does not say how many mark workers it had"
    return None if marks(report) else "has no collection with a mark time"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
