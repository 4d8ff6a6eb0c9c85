#!/usr/bin/env python3
"""Writes reports/schema/keel.report.schema.json, version 1, from the compact description below.

A name ends in ? where the field may be absent (not measured). Types: n integer >= 0, i integer, x number, s string,
b boolean. Objects list their fields; [..] is an array of it. Unknown fields are refused except in arguments, results,
memstats and counters, which are the workload's own or Go's.
"""
import json
import pathlib
import sys

OPEN = "open object"
HISTOGRAM = {"relative_error": "x", "buckets": [["n"]]}
LATENCY = {"count": "n", "p50_ns?": "n", "p90_ns?": "n", "p99_ns?": "n", "p99_9_ns?": "n", "p99_99_ns?": "n",
           "max_ns?": "n", "histogram?": HISTOGRAM}
# Keel's and Go's own, Boehm's (mark), then the JVM's; which of them stop the world: reports/analysis/pause_kinds.cc.
PAUSE_KIND = {"enum": ["sweep_termination", "mark_termination", "handshake", "assist", "sweep", "allocation_stall",
                       "mark", "young", "mixed", "full", "initial_mark", "final_mark", "cleanup", "relocate_start",
                       "init_update_refs", "final_update_refs", "degenerated", "other_stop", "relocation_stall"]}

REPORT = {
    "schema": {"const": "keel.report"},
    "schema_version": {"const": 1},
    "complete": "b",
    "workload": {"name": "s", "arguments": OPEN, "seed": "n", "threads": "n",
                 "self_check?": {"passed": "b", "detail": "s"}},
    "collector": {"name": "s", "version?": "s", "barrier?": "s", "transitions?": "s", "goal?": "s",
                  "gogc_percent?": "n", "memory_limit_bytes?": "n", "max_heap_bytes?": "n", "ballast_bytes?": "n",
                  "mark_workers?": "n", "roots?": "s"},
    "environment": {"hostname?": "s", "kernel?": "s", "cpu_model?": "s", "cores?": "n", "smt_siblings?": "b",
                    "memory_bytes?": "n", "page_bytes?": "n", "transparent_huge_pages?": "s", "overcommit?": "s",
                    "cgroup?": {"cpu?": "s", "memory_bytes?": "n"}, "compiler?": "s", "build_type?": "s",
                    "commit?": "s"},
    "run": {"started_unix_ns?": "n", "wall_ns": "n", "measured?": {"begin_ns": "n", "end_ns": "n"},
            "user_cpu_ns?": "n", "system_cpu_ns?": "n", "rss_start_bytes?": "n", "peak_rss_bytes?": "n",
            "rss_end_bytes?": "n", "virtual_bytes?": "n", "operations?": "n", "signal?": "n", "error?": "s"},
    "memstats?": OPEN,
    "finalization?": {"finalizers": {"queued": "n", "executed": "n"}, "cleanups": {"queued": "n", "executed": "n"},
                      "running_ns?": "n"},
    "gc_stats?": {"LastGC": "n", "NumGC": "n", "PauseTotal": "n", "PauseQuantiles": ["n"]},
    "cycles": [{
        "number": "n", "kind": "s", "trigger": {"enum": ["heap", "forced", "memory_limit", "periodic"]},
        "cause?": "s", "begin_ns": "n", "end_ns": "n", "total_alloc_bytes?": "n",
        "durations_ns?": {"sweep_termination?": "n", "mark?": "n", "mark_termination?": "n"},
        "transition_ns?": {"start?": "n", "end?": "n"},
        "time_to_stop_ns?": {"sweep_termination?": "n", "mark_termination?": "n", "slowest_thread?": "n"},
        "heap_bytes?": {"trigger?": "n", "begin?": "n", "mark_end?": "n", "live?": "n", "black?": "n", "goal?": "n",
                        "end?": "n", "capacity?": "n"},
        "scanned_bytes?": {"heap?": "n", "stacks?": "n", "globals?": "n"},
        "marked_objects?": "n",
        "cpu_ns?": {"dedicated?": "n", "fractional?": "n", "idle?": "n", "assist?": "n", "pause?": "n", "sweep?": "n",
                    "scavenge?": "n", "background?": "n"},
        "workers?": {"dedicated?": "n", "fractional?": "n", "idle?": "n"},
        "limiter_active?": "b",
        "barrier?": {"shaded?": "n", "flushes?": "n"},
        "roots?": {"words?": "n", "hits?": "n", "retained_bytes?": "n", "rescanned_words?": "n",
                   "unmarked_targets?": "n"},
        "pacing?": {"assist_ratio?": "x", "expected_scan_bytes?": "n", "utilization?": "x", "cons_mark?": "x"},
        "fallback_stops?": "n",
        "termination_rounds?": "n", "grey_overflows?": "n"}],
    "pauses": [{"cycle?": "n", "kind": PAUSE_KIND, "begin_ns": "n", "duration_ns": "n", "time_to_stop_ns?": "n",
                "thread?": "n", "cause?": "s",
                "parts_ns?": {"wait?": "n", "own_stack?": "n", "rest?": "n"}}],
    "pause_totals": [{"kind": PAUSE_KIND, "thread?": "n", "count": "n", "total_ns": "n", "max_ns": "n",
                      "histogram": HISTOGRAM}],
    "work?": [{"cycle": "n", "worker": "n", "kind": {"enum": ["dedicated", "fractional", "idle"]}, "begin_ns": "n",
               "duration_ns": "n", "cpu_ns": "n"}],
    "threads": [{"id": "n", "name": "s", "role": "s", "cpu_ns": "n", "assist_ns?": "n", "involuntary_switches?": "n"}],
    "samples": [{"at_ns": "n", "rss_bytes?": "n", "heap_bytes?": "n", "heap_goal_bytes?": "n", "last_gc_ns?": "i",
                 "num_gc?": "n"}],
    "latency": {"simple?": LATENCY, "metered?": [{"window_ns": "n", **LATENCY}], "hiccup?": LATENCY},
    "mmu?": [{"window_ns": "n", "utilization": "x", "bounded?": "x", "without_assists?": "x"}],
    "heap_by_layout?": [{"layout": "s", "spans": "n", "objects": "n", "used_bytes": "n", "waste_bytes": "n",
                         "pointer_words?": "n"}],
    "counters?": OPEN,
    "results?": OPEN,
    "events": {"recorded": "n", "dropped": "n", "request_bytes?": "n", "interruption_bytes?": "n", "dropped_requests?": "n",
               "log_error?": "s", "log_dropped?": "n"},
    "import?": {"format": "s", "lines": "n", "read": "n", "ignored": "n", "unread": "n", "clock": "b",
                "unread_lines?": [{"line": "n", "text": "s"}]},
}

TYPES = {"n": {"type": "integer", "minimum": 0}, "i": {"type": "integer"}, "x": {"type": "number"},
         "s": {"type": "string"}, "b": {"type": "boolean"}, OPEN: {"type": "object"}}


def expand(node):
    if isinstance(node, str):
        return TYPES[node]
    if isinstance(node, list):
        return {"type": "array", "items": expand(node[0])}
    if "const" in node or "enum" in node:
        return node
    return {"type": "object", "additionalProperties": False,
            "required": [k for k in node if not k.endswith("?")],
            "properties": {k.rstrip("?"): expand(v) for k, v in node.items()}}


def main():
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "keel.report.schema.json",
              "title": "keel.report, version 1", **expand(REPORT)}
    text = json.dumps(schema, indent=1) + "\n"
    target = pathlib.Path(__file__).resolve().parent.parent / "reports/schema/keel.report.schema.json"
    if "--check" in sys.argv:
        if target.read_text() != text:
            sys.exit("reports/schema/keel.report.schema.json is not what scripts/gen_schema.py writes")
        return
    target.write_text(text)


if __name__ == "__main__":
    main()
