#!/usr/bin/env python3
"""Checks that includes only point down the layers (docs/architecture.md), that there is no cycle, and file lengths.

A test may include anything of its own layer or below. Exit status 1 with one line per fault.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Folder -> layer. Longest prefix wins.
LAYERS = {"allocator/base": 0, "allocator": 1, "barriers": 2, "collector": 3, "reports": 4, "workloads": 5}
# What a higher layer may include of a lower one: its public headers.
PUBLIC = [
    r"allocator/base/", r"allocator/api/", r"allocator/size/", r"allocator/span/", r"allocator/cache/thread_cache\.h",
    r"allocator/memory/", r"barriers/api/", r"collector/api/", r"reports/api/", r"reports/recorder/build_facts\.h",
    r"reports/recorder/pause_log\.h",
]
LONGEST = 600


def layer(path):
    best = max((prefix for prefix in LAYERS if path.startswith(prefix + "/")), key=len, default=None)
    return None if best is None else LAYERS[best]


def module(path):
    return path.split("/")[0]


def main():
    faults = []
    graph = {}
    files = [p for d in ("allocator", "barriers", "collector", "reports", "workloads") for p in (ROOT / d).rglob("*")
             if p.suffix in (".h", ".cc", ".inc")]
    for file in sorted(files):
        name = str(file.relative_to(ROOT))
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > LONGEST:
            faults.append(f"{name}: {text.count(chr(10))} lines, above {LONGEST}")
        if file.suffix == ".h" and not text.startswith("//"):
            faults.append(f"{name}: no opening comment")
        graph[name] = []
        for included in re.findall(r'^#include "([^"]+)"', text, re.M):
            if not (ROOT / included).exists():
                if included.endswith(("build_facts.h", "report_schema.h", "page_parts.h")):  # written by CMake
                    continue
                faults.append(f'{name}: includes "{included}", which is not a path from the root')
                continue
            graph[name].append(included)
            if layer(included) > layer(name):
                faults.append(f"{name} (layer {layer(name)}): includes {included} (layer {layer(included)})")
            elif module(included) != module(name) and not any(re.match(p, included) for p in PUBLIC):
                faults.append(f"{name}: includes {included}, which is internal to {module(included)}")
    state = {}

    def visit(node, path):
        state[node] = 1
        for target in graph.get(node, []):
            if state.get(target) == 1:
                faults.append("cycle: " + " -> ".join(path[path.index(target):] + [target]))
            elif target not in state:
                visit(target, path + [target])
        state[node] = 2

    for node in graph:
        if node not in state:
            visit(node, [node])
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{len(files)} files, includes point down, no cycle")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
