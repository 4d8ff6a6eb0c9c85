#!/usr/bin/python3
"""Lower-bound overhead against heap size: what each collector costs at least, wall time and CPU, at every heap.

For every heap size (its --max-heap, or peak resident memory where none was set) the cheapest distilled cost of all
collectors is the base (Cai, Blackburn, Bond, Maas, ISPASS 2022). Solid: all explicit work is taken off for the base;
dashed: world stops only. Several runs of a point: median, with the 95 % interval from six on.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402


def heap_mib(report):
    limit = report["collector"].get("max_heap_bytes") or report["collector"].get("memory_limit_bytes")
    if limit:
        return limit / MIB
    peak = max((c["heap_bytes"].get("mark_end", 0) for c in report["cycles"] if c.get("heap_bytes")), default=0)
    return round((peak or report["run"].get("peak_rss_bytes", 0)) / MIB)


def stop_ns(report, begin, end):
    return sum(p["duration_ns"] for p in figure.stops(report) if p["kind"] != "other_stop" and begin <= p["begin_ns"] <= end)


def wall(report):
    """(total, in world stops, all explicit) ns an operation; None in an open loop or without operations."""
    if "rate" in report["workload"]["arguments"]:
        return None
    done = figure.operations(report)
    if not done or not done[1]:
        return None
    count, length = done
    begin, end = keelreport.measured(report)
    stopped = stop_ns(report, begin, end) / count
    own = sum(t["total_ns"] for t in report["pause_totals"] if t["kind"] not in figure.STOPS)
    own = own / max(1, report["workload"]["threads"]) * length / max(1, report["run"]["wall_ns"]) / count
    return length / count, stopped, stopped + own


def cpu(report):
    run = report["run"]
    count = run.get("operations")
    if not count or "user_cpu_ns" not in run:
        return None
    cores = report["environment"].get("cores", 1)
    accounted = figure.explicit_cpu_ns(report)
    stopped = (sum(c["cpu_ns"].get("pause", 0) for c in report["cycles"]) if accounted is not None
               else stop_ns(report, 0, 1 << 62) * cores)
    return (run["user_cpu_ns"] + run["system_cpu_ns"]) / count, stopped / count, (stopped if accounted is None else accounted) / count


def draw(reports, _):
    plot, panels = plt.subplots(1, 2, figsize=(10.5, 4.4))
    collectors = figure.groups(reports, lambda r: r["collector"]["name"] + (f" {r['collector']['barrier']}" if len({x['collector'].get('barrier') for x in reports if x['collector']['name'] == 'keel'}) > 1 and 'barrier' in r['collector'] else ""))
    for panel, cost, name in zip(panels, (wall, cpu), ("wall time", "CPU time")):
        heaps = figure.groups(reports, heap_mib)
        base = {}
        for way in (1, 2):
            for heap, runs in heaps.items():
                distilled = [c[0] - c[way] for r in runs if (c := cost(r))]
                by_collector = figure.groups([r for r in runs if cost(r)], lambda r: r["collector"]["name"])
                if distilled:
                    base[heap, way] = min(figure.median([cost(r)[0] - cost(r)[way] for r in rs]) for rs in by_collector.values())
        # One base for the workload: what it costs does not depend on the heap.
        least = {way: min((v for (h, w), v in base.items() if w == way), default=None) for way in (1, 2)}
        for i, (collector, runs) in enumerate(collectors.items()):
            for way, dash, word in ((2, "-", "all explicit work"), (1, "--", "world stops")):
                if not least[way] or least[way] <= 0:
                    continue
                rows = []
                for heap, same in sorted(figure.groups(runs, heap_mib).items()):
                    values = [c[0] / least[way] for r in same if (c := cost(r))]
                    if values:
                        rows.append((heap, figure.median(values), figure.interval(values)))
                if not rows:
                    continue
                panel.plot([r[0] for r in rows], [r[1] for r in rows], marker="o^sDvP"[i % 6], markersize=4, linewidth=1.2,
                           color=style.COLOURS[i % 7], linestyle=dash, label=f"{collector}, {word}")
                if way == 2 and all(r[2] for r in rows):
                    panel.fill_between([r[0] for r in rows], [r[2][0] for r in rows], [r[2][1] for r in rows],
                                       color=style.COLOURS[i % 7], alpha=0.15, linewidth=0)
        panel.axhline(1, color="#888888", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_xlabel("heap (MiB)")
        panel.set_ylabel(f"{name}, times the base")
        panel.set_title(f"Lower-bound overhead, {name}")
        if panel.get_legend_handles_labels()[0]:
            style.legend(panel, fontsize=6.5)
        else:
            panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")
    return plot


def lacks(report):
    return None if wall(report) or cpu(report) else "does not say how many operations it did, or in what time"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
