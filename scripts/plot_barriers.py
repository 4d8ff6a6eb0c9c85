#!/usr/bin/python3
"""What barriers cost the program: CPU and time an operation by kind of barrier, normalised to the cheapest.

Give it runs of one workload with different --barrier (and, for collectors without one, their own runs); runs of one kind
are pooled. Dots are the runs, bars their medians.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


def kind(report):
    c = report["collector"]
    return c["name"] if "barrier" not in c else f"{c['barrier']}\n{c.get('transitions', '')}"


def cpu(report):
    run = report["run"]
    if not run.get("operations") or "user_cpu_ns" not in run:
        return None
    return (run["user_cpu_ns"] + run["system_cpu_ns"] - (figure.explicit_cpu_ns(report) or 0)) / run["operations"]


def wall(report):
    done = figure.operations(report)
    return done[1] / done[0] if done and done[1] else None


def draw(reports, _):
    plot, panels = plt.subplots(1, 2, figsize=(9.5, 4.2))
    kinds = figure.groups(reports, kind)
    for panel, cost, title in zip(panels, (cpu, wall), ("CPU an operation, explicit GC work taken off", "Time an operation")):
        values = {k: [v for r in rs if (v := cost(r))] for k, rs in kinds.items()}
        medians = {k: figure.median(v) for k, v in values.items() if v}
        if not medians:
            panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")
            continue
        least = min(medians.values())
        for i, (k, m) in enumerate(medians.items()):
            panel.bar(i, m / least, color=style.COLOURS[i % 7], width=0.65, alpha=0.75)
            panel.plot([i] * len(values[k]), [v / least for v in values[k]], "k.", markersize=4)
            panel.annotate(f"{m / least:.3f}", (i, m / least), ha="center", va="bottom", fontsize=7, textcoords="offset points", xytext=(0, 3))
        panel.set_xticks(range(len(medians)), list(medians), fontsize=7)
        panel.set_ylabel(f"times the least ({least:,.0f} ns)")
        panel.set_title(title)
        panel.grid(axis="x", visible=False)
    return plot


def lacks(report):
    return None if cpu(report) or wall(report) else "does not say how many operations it did"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
