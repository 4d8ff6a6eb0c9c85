"""The frame of a plot script: arguments, reports, one-line errors, the house style, caption, PNG or SVG."""
import argparse
import pathlib
import statistics
import sys

import keelreport
from keelreport import output as outputs
from keelreport import style


class _Pyplot:
    """matplotlib.pyplot, loaded when something is drawn: a bad report is refused in a tenth of a second."""

    def __getattr__(self, name):
        from matplotlib import pyplot
        return getattr(pyplot, name)


plt = _Pyplot()


def arguments_of(doc, name, more=None):
    parser = argparse.ArgumentParser(prog=name, description=doc.strip(), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", help="keel reports, from any collector, imported ones too")
    default = name.removeprefix("plot_").removesuffix(".py") + ".png"
    parser.add_argument("-o", "--output", default=default, help=f"PNG, SVG, or a self-contained HTML page [{default}]")
    if more:
        more(parser)
    return parser.parse_args()


def fail(name, text, status=2):
    print(f"{name}: {text}", file=sys.stderr)
    raise SystemExit(status)


def run(doc, draw, lacks, more=None):
    """The whole script. `lacks(report)` says in words what a report misses for this figure, or None; `draw(reports, options)`
    returns the figure. Exit status 2 with one line for anything that cannot be drawn."""
    name = pathlib.Path(sys.argv[0]).name
    options = arguments_of(doc, name, more)
    output = pathlib.Path(options.output)
    if output.suffix not in (".png", ".svg", ".html"):
        fail(name, f"option -o: '{output}' ends in none of .png, .svg, .html")
    try:
        outputs.check(output)
    except outputs.BadOutput as error:
        fail(name, f"option -o: {error}")
    reports = keelreport.load_all(options.reports)
    path = None
    try:
        for path, report in zip(options.reports, reports):
            missing = lacks(report)
            if missing:
                fail(name, f"'{path}' {missing}")
        path = None
        style.apply()
        figure = draw(reports, options)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        fail(name, f"{repr(path) if path else 'a report'} is not a valid report: {type(error).__name__} {error} (gcreport validate says where)")
    caption(figure, reports)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    try:
        if output.suffix == ".html":
            outputs.write(output, page(figure, doc))
        else:
            style.save(figure, str(output))
    except outputs.BadOutput as error:
        fail(name, f"option -o: {error}", 1)
    return 0


def page(figure, doc):
    """The figure as SVG inside a page that needs nothing else, what it shows beneath it."""
    import html
    import io
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg"):]
    title, _, rest = doc.strip().partition("\n")
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
            "<style>body{font:14px/1.5 system-ui,sans-serif;max-width:75rem;margin:1rem auto;padding:0 1rem}svg{max-width:100%;height:auto}</style>"
            f"</head><body>\n<h1 style=\"font-size:18px\">{html.escape(title)}</h1>\n{svg}\n<p>{html.escape(rest.strip())}</p>\n</body></html>\n")


def caption(figure, reports):
    workloads = sorted({r["workload"]["name"] for r in reports})
    machines = sorted({keelreport.machine(r) for r in reports})
    text = f"workload {', '.join(workloads)}; n = {len(reports)} run{'s' if len(reports) > 1 else ''}; {machines[0]}"
    if len(machines) > 1:
        text += f" and {len(machines) - 1} other machines or builds"
    style.caption(figure, text)


def labels(reports):
    """A name for each run: its collector and what else tells it from the others."""
    keys = [("collector", k) for k in ("gogc_percent", "goal", "barrier", "transitions", "roots", "mark_workers", "max_heap_bytes")]
    keys += [("workload", "name"), ("workload", "threads")]
    names = [keelreport.label(r) for r in reports]
    for section, key in keys:
        if len(set(names)) == len(names):
            break
        values = [r.get(section, {}).get(key) for r in reports]
        if len(set(map(str, values))) < 2:
            continue
        if key.endswith("_bytes"):
            values = [v if v is None else keelreport.size(v) for v in values]
        word = {"gogc_percent": "GOGC", "max_heap_bytes": "max heap", "mark_workers": "workers"}.get(key, "" if key in ("barrier", "transitions", "roots", "goal", "name") else key)
        names = [n + (f", {word} {v}".replace(",  ", ", ") if v is not None else "") for n, v in zip(names, values)]
    seen = {}
    for i, name in enumerate(names):
        seen.setdefault(name, []).append(i)
    for name, at in seen.items():
        if len(at) > 1:
            for number, i in enumerate(at, 1):
                names[i] = f"{name} #{number}"
    return names


def groups(reports, key):
    """{key(report): [reports]} in order of appearance."""
    found = {}
    for report in reports:
        found.setdefault(key(report), []).append(report)
    return found


STOPS = ("sweep_termination", "mark_termination", "mark", "young", "mixed", "full", "initial_mark", "final_mark", "cleanup",
         "relocate_start", "init_update_refs", "final_update_refs", "degenerated", "other_stop")


def stops(report):
    return [p for p in report["pauses"] if p["kind"] in STOPS]


def measured_cycles(report):
    begin, end = keelreport.measured(report)
    return [c for c in report["cycles"] if begin <= c["begin_ns"] <= end]


def median(values):
    return statistics.median(values) if values else None


def interval(values):
    """95 % order-statistics interval of the median, or None below six values."""
    n = len(values)
    if n < 6:
        return None
    values = sorted(values)
    probability, cumulative, k = 0.5 ** n, 0.0, 0
    for i in range(n // 2):
        cumulative += probability
        if cumulative > 0.025:
            break
        k = i
        probability *= (n - i) / (i + 1)
    return values[k], values[n - 1 - k]


def operations(report):
    """Operations of the measured part, and its length in ns; None where the run does not say."""
    count = report.get("latency", {}).get("simple", {}).get("count") or report["run"].get("operations")
    begin, end = keelreport.measured(report)
    return (count, end - begin) if count else None


def explicit_cpu_ns(report):
    """CPU that the collector accounts for, over the whole run; None if it does not."""
    cycles = [c["cpu_ns"] for c in report["cycles"] if c.get("cpu_ns")]
    if len(cycles) != len(report["cycles"]):
        return None
    return sum(sum(c.values()) for c in cycles)
