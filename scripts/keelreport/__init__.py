"""Reading keel reports for plots and experiments: loading with one-line errors, labels, the law of the ballast."""
import json
import pathlib
import subprocess
import sys

MIB = 1 << 20
GIB = 1 << 30


class BadReport(Exception):
    """A file that is not a usable report; the text says which and why."""


def load(path):
    """The report at `path`, or BadReport."""
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    except OSError as error:
        raise BadReport(f"'{path}' cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadReport(f"'{path}' is not JSON: {error}") from error
    if not isinstance(report, dict) or report.get("schema") != "keel.report":
        raise BadReport(f"'{path}' is not a keel.report")
    if report.get("schema_version") != 1:
        raise BadReport(f"'{path}' has schema_version {report.get('schema_version')}, not 1")
    for section, kind in (("workload", dict), ("collector", dict), ("run", dict), ("latency", dict), ("cycles", list),
                          ("pauses", list), ("samples", list), ("pause_totals", list)):
        value = report.get(section)
        if not isinstance(value, kind) or (kind is list and not all(isinstance(x, dict) for x in value)):
            raise BadReport(f"'{path}' is not a valid report: /{section} is missing or of another type (gcreport validate)")
    return report


def load_all(paths):
    """All reports, or the program ends with one line and status 2."""
    try:
        return [load(path) for path in paths]
    except BadReport as error:
        print(f"{sys.argv[0].rsplit('/', 1)[-1]}: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def run(program, path, *arguments):
    """The report of one quiet run of `program` (a path), written to `path`; if it fails, the script ends with one line and status 1."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    command = [str(program), *map(str, arguments), "--quiet", "--report", str(path)]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    print(f"  {pathlib.Path(path).stem}", file=sys.stderr, flush=True)
    return load(path)


def size(n):
    """10737418240 -> '10GiB'."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n and n % factor == 0:
            return f"{n // factor}{unit}"
    return f"{n}B"


def parse_size(text):
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)):
        if text.endswith(unit):
            return int(text[: -len(unit)]) * factor
    return int(text)


def label(report):
    collector = report["collector"]
    ballast = collector.get("ballast_bytes", 0)
    limit = collector.get("memory_limit_bytes", 0)
    return (collector["name"] + (f", ballast {size(ballast)}" if ballast else "")
            + (f", limit {size(limit)}" if limit else ""))


def machine(report):
    e = report.get("environment", {})
    known = [e.get("cpu_model"), f"{e['cores']} cores" if "cores" in e else None, e.get("kernel"),
             f"commit {e['commit']}" if "commit" in e else None]
    return ", ".join(k for k in known if k) or "machine not in the log"


def measured(report):
    """(begin, end) of the measured part in ns; the whole run if it was not marked."""
    m = report["run"].get("measured", {})
    return m.get("begin_ns", 0), m.get("end_ns", report["run"]["wall_ns"])


def counted_cycles(report):
    """Cycles of the measured part that the heap itself triggered: no forced, no periodic one."""
    begin, end = measured(report)
    return [c for c in report["cycles"] if c["trigger"] == "heap" and begin <= c["begin_ns"] and c["end_ns"] <= end]


def law(report):
    """The law of the ballast for one run: A/n against g (M + S). See docs/ballast.md for the symbols; bytes."""
    cycles = counted_cycles(report)
    n = len(cycles) - 1
    if n < 1:
        return None
    allocated = cycles[-1]["total_alloc_bytes"] - cycles[0]["total_alloc_bytes"]
    marked = sum(c["heap_bytes"]["live"] for c in cycles[:-1]) / n
    roots = sum(c["scanned_bytes"]["stacks"] + c["scanned_bytes"]["globals"] for c in cycles[:-1]) / n
    g = report["collector"]["gogc_percent"] / 100
    ballast = report["collector"].get("ballast_bytes", 0)
    live = report["results"]["live_bytes"]
    marks = sorted(c["durations_ns"]["mark"] for c in cycles)
    return {
        "ballast": ballast, "n": n, "allocated": allocated, "marked": marked, "roots": roots,
        "ratio": allocated / n / (g * (marked + roots)),
        "floating": marked - ballast - live,
        "peak_to_goal": sum(c["heap_bytes"]["mark_end"] / c["heap_bytes"]["goal"] for c in cycles[1:]) / n,
        "mark_ns": marks[len(marks) // 2], "live": live,
    }
