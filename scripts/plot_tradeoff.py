#!/usr/bin/python3
"""Time against space: what the collector costs for the memory a policy allows, a line a policy.

A report of `gogc` gives a line with a point for every GOGC. Any other report gives one point, and those of one collector
and policy (GOGC, ballast, memory limit, MemBalancer, fixed goal) make a line. Both axes are logarithmic: with proportional
growth the collector's CPU per allocated byte falls as 1 / GOGC, a straight line of slope -1 in the second panel.
"""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keelreport  # noqa: E402
from keelreport import MIB, figure, style  # noqa: E402
from keelreport.figure import plt  # noqa: E402

FITTED = (50, 800)  # between these the rule must come out


def cycle_cpu_ns(cycle):
    """Marking, assists and stops of a cycle; sweeping and scavenging are not proportional to cycles."""
    return sum(cycle.get("cpu_ns", {}).get(kind, 0) for kind in ("dedicated", "fractional", "idle", "assist", "pause"))


def points(report):
    """[(gogc or None, peak heap in MiB, GC CPU ns per KiB allocated, GC share of all CPU in percent)]"""
    if "parts" in report.get("results", {}):
        found = []
        for part in report["results"]["parts"]:
            if part["gogc"] == "off" or not part["gc_cpu_ns"] or not part["allocated_bytes"]:
                continue
            found.append((part["gogc"], part["peak_heap_bytes"] / MIB, 1024 * part["gc_cpu_ns"] / part["allocated_bytes"],
                          100 * part["gc_cpu_ns"] / part["cpu_ns"]))
        return found
    cycles = [c for c in report["cycles"] if c.get("cpu_ns")]
    allocated = report.get("memstats", {}).get("TotalAlloc")
    peaks = [c["heap_bytes"]["mark_end"] for c in cycles if "mark_end" in c.get("heap_bytes", {})]
    cpu = sum(cycle_cpu_ns(c) for c in cycles)
    if not cpu or not allocated or not peaks:
        return []
    run = report["run"]
    total = run.get("user_cpu_ns", 0) + run.get("system_cpu_ns", 0)
    return [(report["collector"].get("gogc_percent"), max(peaks) / MIB, 1024 * cpu / allocated, 100 * cpu / total if total else 0)]


def policy(report):
    """(name of the line, what its points are told by, for the label of a point)"""
    collector = report["collector"]
    name = collector["name"]
    if collector.get("memory_limit_bytes"):
        return f"{name}, memory limit", keelreport.size(collector["memory_limit_bytes"])
    if collector.get("ballast_bytes"):
        return f"{name}, ballast", keelreport.size(collector["ballast_bytes"])
    goal = collector.get("goal", "")
    if goal.startswith(("membalancer", "fixed")):
        kind, _, value = goal.partition("=")
        return f"{name}, {kind}", value
    if "gogc_percent" in collector:
        return f"{name}, GOGC", str(collector["gogc_percent"])
    return name, ""


def lines(reports, found):
    """[(name, points, labels)]: reports with many points as they are, the others by policy, along the heap."""
    result, by_policy = [], {}
    for report, points_of_it in zip(reports, found):
        if "parts" in report.get("results", {}):
            result.append((keelreport.label(report), points_of_it, [str(p[0]) for p in points_of_it]))
        else:
            name, value = policy(report)
            by_policy.setdefault(name, []).append((points_of_it[0], value))
    for name, pairs in by_policy.items():
        pairs.sort(key=lambda pair: pair[0][1])
        result.append((name, [p for p, _ in pairs], [v for _, v in pairs]))
    return result


def slope(found):
    """Least squares of log cost over log GOGC within FITTED; None with fewer than two points."""
    logs = [(math.log(g), math.log(cost)) for g, _, cost, _ in found if g and FITTED[0] <= g <= FITTED[1] and cost > 0]
    if len(logs) < 2:
        return None
    x = sum(a for a, _ in logs) / len(logs)
    y = sum(b for _, b in logs) / len(logs)
    xx = sum((a - x) ** 2 for a, _ in logs)
    return sum((a - x) * (b - y) for a, b in logs) / xx if xx else None


def draw(reports, _):
    series = [points(report) for report in reports]
    plot, (space, rule) = plt.subplots(1, 2, figsize=(9.5, 4.4))
    for i, (name, found, labels) in enumerate(lines(reports, series)):
        look = style.line(i)
        marker = dict(marker="o^sDvP"[i % 6], markersize=4.5, linewidth=1.1, **look)
        space.plot([p[1] for p in found], [p[3] for p in found], label=name, **marker)
        for n, ((_, peak, _, share), text) in enumerate(zip(found, labels)):
            # Every point of the first line, the ends of the others: labels on each other say nothing.
            if text and (i == 0 or n in (0, len(found) - 1)):
                space.annotate(text, (peak, share), textcoords="offset points", xytext=(4, 3), fontsize=6.5)
        with_gogc = [p for p in found if p[0]]
        fitted = slope(with_gogc)
        if len(with_gogc) > 1:
            text = name if fitted is None else f"{name}: slope {fitted:.2f} over GOGC {FITTED[0]} to {FITTED[1]}"
            rule.plot([p[0] for p in with_gogc], [p[2] for p in with_gogc], label=text, **marker)
    space.set_xlabel("peak heap (MiB)")
    space.set_ylabel("GC share of CPU (%)")
    space.set_title("Time against space; labels are the policy's value")
    rule.set_xlabel("GOGC (%)")
    rule.set_ylabel("GC CPU (ns per KiB allocated)")
    rule.set_title("Doubling GOGC halves the cost")
    for axes in (space, rule):
        axes.set_xscale("log")
        axes.set_yscale("log")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=6.5, loc="lower left")
    return plot


def lacks(report):
    return None if points(report) else "does not say what its collections cost, or has none"


if __name__ == "__main__":
    sys.exit(figure.run(__doc__, draw, lacks))
