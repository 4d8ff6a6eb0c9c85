#!/usr/bin/env python3
"""Every system call of a run fails in turn (allocator/base/system_calls.h): each run ends with a status that
CONTRACT names and a sentence, or goes on, and leaves a whole report, an incomplete one, or the one that was there.

Usage: failing_calls_test.py BIN_DIR [--seed N] [--most N]. Needs a build whose calls can fail (any but Release).
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

# The errors that each call is made to fail with.
ERRORS = {
    "mmap": ["ENOMEM"], "munmap": ["ENOMEM"], "mprotect": ["ENOMEM"], "madvise": ["ENOMEM"], "thread": ["EAGAIN"],
    "clock": ["EINVAL"], "affinity": ["EPERM"], "scheduler": ["EPERM"], "futex": ["EINTR"], "open": ["EACCES", "EMFILE"],
    "write": ["ENOSPC", "EINTR", "short"], "fsync": ["EIO"], "rename": ["EACCES"], "close": ["EIO"], "new": ["ENOMEM"],
}
OLD = '{"old": true}\n'
# name -> (arguments, writes a report)
RUNS = {
    "ballast": ["ballast", "--live", "2MiB", "--ballast", "64MiB", "--operations", "400", "--gogc", "20",
                "--memory-limit", "96MiB", "--threads", "2"],
    "handshake": ["ballast", "--live", "2MiB", "--operations", "400", "--gogc", "20", "--transitions", "handshake",
                  "--threads", "2"],
    "big_arrays": ["big_arrays", "--operations", "30", "--gogc", "50"],
    "finalizers": ["finalizers", "--tries", "20"],
}


class Case:
    """One run with one call failing. `fault` is empty if it ended as it should."""

    def __init__(self, folder, command, plan, report, inputs=()):
        self.folder, self.command, self.plan, self.report = folder, command, plan, report
        self.inputs = list(inputs)
        self.fault = ""

    def run(self):
        log = self.folder / "calls.log"
        self.report.write_text(OLD, encoding="utf-8")
        environment = dict(os.environ, KEEL_FAIL_LOG=str(log))
        environment.pop("KEEL_FAIL", None)
        if self.plan:
            environment["KEEL_FAIL"] = self.plan
        try:
            done = subprocess.run(self.command, env=environment, capture_output=True, timeout=120, text=True,
                                  errors="replace", check=False)
        except subprocess.TimeoutExpired:
            self.fault = "hangs"
            return self
        self.status, self.words = done.returncode, done.stderr
        self.calls = log.read_text(encoding="utf-8") if log.exists() else ""
        self.judge()
        return self

    def judge(self):
        left = [p.name for p in self.folder.iterdir() if ".tmp." in p.name]
        text = self.report.read_text(encoding="utf-8") if self.report.exists() else ""
        if self.status not in (0, 1, 2, 3):
            self.fault = f"status {self.status}: {self.words.strip()[-300:]}"
        elif self.status != 0 and not self.words.strip():
            self.fault = f"status {self.status} without a word"
        elif re.search("terminate called|check failed|Sanitizer", self.words):
            self.fault = self.words.strip()[-300:]
        elif left:
            self.fault = f"leaves {left}"
        elif not text:
            self.fault = "the old report is gone, and there is no new one"
        elif self.status == 0 and text == OLD:
            self.fault = "status 0 and no report"

    def new_report(self):
        return not self.fault and self.report.read_text(encoding="utf-8") != OLD


def plans(calls, most, rng):
    """'mmap:3:ENOMEM' for every call of a clean run, or `most` of each kind drawn by the seed."""
    found = []
    for kind, number in re.findall(r"^calls (\w+) (\d+)$", calls, re.M):
        numbers = range(1, int(number) + 1)
        if len(numbers) > most:
            numbers = sorted(rng.sample(numbers, most))
        found += [f"{kind}:{n}:{error}" for n in numbers for error in ERRORS[kind]]
        if number != "0":
            found += [f"{kind}:1+:{error}" for error in ERRORS[kind] if error not in ("EINTR", "short") and kind != "new"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1, help="which calls are drawn where there are many (1)")
    parser.add_argument("--most", type=int, default=12, help="calls of each kind that fail in turn, per run (12)")
    parser.add_argument("--only", help="one of the runs: " + ", ".join(list(RUNS) + ["gcreport"]))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        return survey(pathlib.Path(temporary), arguments, rng)


def survey(top, arguments, rng):
    faults, total, whole = [], 0, 0
    clean_report = None

    def case(run, number, plan):
        folder = top / f"{run}-{number}"
        folder.mkdir()
        report = folder / "report.json"
        if run == "gcreport":
            command = [arguments.bin / "gcreport", "export", "--format", "perfetto", clean_report, "-o", report]
        else:
            program, *rest = RUNS[run]
            command = [arguments.bin / program, *rest, "--quiet", "--report", report, "--events", folder / "e.jsonl"]
        return Case(folder, [str(c) for c in command], plan, report)

    for run in list(RUNS) + ["gcreport"]:
        if arguments.only and run not in (arguments.only, "ballast"):
            continue
        clean = case(run, "clean", "").run()
        if clean.fault or clean.status != 0:
            print(f"{run} without a failure: {clean.fault or clean.words}")
            return 1
        clean_report = clean_report or clean.report
        if arguments.only and run != arguments.only:
            continue
        todo = [case(run, n, plan) for n, plan in enumerate(plans(clean.calls, arguments.most, rng))]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = list(pool.map(Case.run, todo))
        written = [c for c in done if c.new_report()]
        if run != "gcreport":
            faults += validate(arguments.bin, run, written)
        faults += [f"{run} {c.plan}: {c.fault}" for c in done if c.fault]
        hit = sum("failed " in getattr(c, "calls", "") for c in done)
        total += len(done)
        whole += len(written)
        print(f"{run}: {len(done)} runs, {hit} with a call failed, {len(written)} wrote a report")
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"{total} runs, {whole} whole reports, {len(faults)} faults")
    return 1 if faults else 0


def validate(folder, run, written):
    """Every report must be valid, complete or not."""
    faults = []
    for c in written:
        done = subprocess.run([str(folder / "gcreport"), "validate", str(c.report)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            faults.append(f"{run} {c.plan}: the report is invalid: {done.stdout.strip()[-200:]} {done.stderr.strip()[-200:]}")
    return faults


if __name__ == "__main__":
    sys.exit(main())
