#!/usr/bin/python3
"""watch and sweep as their users meet them: every gctrace, a growing file, minimum heaps, resuming, GNU parallel.

Run by ctest with KEEL_BIN set to the folder of the programs. Sweeps run a stand-in for a workload, whose minimum heap is
known, unless a test says otherwise.
"""
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["KEEL_BIN"])
ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "reports/import/samples"
SWEEP = ROOT / "scripts/sweep"
WATCH = ROOT / "scripts/watch"

# Needs 37 MiB ("small") or 90 MiB ("large"); status 3 below. Appends a line to ran.log when it has done its work.
STAND_IN = """#!/usr/bin/python3
import json, os, sys, time
args = sys.argv[1:]
heap = int(args[args.index("--max-heap") + 1].removesuffix("MiB")) if "--max-heap" in args else 10**6
need = 90 if "large" in args else 37
if "crash" in args: sys.exit(1)
time.sleep(float(os.environ.get("STAND_IN_SLEEP", "0")))
if heap < need: sys.exit(3)
report = args[args.index("--report") + 1]
json.dump({"run": {"operations": 100, "user_cpu_ns": heap * 1000, "system_cpu_ns": 0, "wall_ns": 1,
                   "measured": {"begin_ns": 0, "end_ns": 100000}}, "pause_totals": []}, open(report, "w"))
open(os.path.join(os.path.dirname(sys.argv[0]), "ran.log"), "a").write(report + "\\n")
"""


class Sweep(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name)
        self.program = self.out / "stand-in"
        self.program.write_text(STAND_IN, encoding="utf-8")
        self.program.chmod(0o755)

    def experiment(self, heap="multiples = [1.0, 2.0, 1.5]\nhighest = 512", invocations=3, extra=""):
        path = self.out / "try.toml"
        path.write_text(f"""
name = "try"
out = "results"
invocations = {invocations}
{f"[heap]{chr(10)}{heap}" if heap else ""}
[[workload]]
program = "stand-in"
[[config]]
name = "small"
command = ["{self.program}"]
[[config]]
name = "large"
command = ["{self.program}"]
args = ["large"]
{extra}
""", encoding="utf-8")
        return path

    def sweep(self, *arguments, **options):
        return subprocess.run([SWEEP, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False, **options)

    def ran(self):
        log = self.out / "ran.log"
        lines = log.read_text(encoding="utf-8").split() if log.exists() else []
        return collections.Counter(line for line in lines if "/runs/" in line)

    def test_minimum_heaps_order_and_results(self):
        path = self.experiment()
        done = self.sweep(path)
        self.assertEqual(done.returncode, 0, done.stderr)
        least = json.loads((self.out / "results/minheap.json").read_text(encoding="utf-8"))["stand-in"]
        self.assertTrue(37 <= least["small"] <= 38, least)  # within the tolerance of 2 %, or one MiB
        self.assertTrue(90 <= least["large"] <= 92, least)
        self.assertEqual(len(self.ran()), 3 * 3 * 2)
        self.assertEqual(set(self.ran().values()), {1})
        plan = [line.split()[-1] for line in self.sweep(path, "--plan").stdout.splitlines()]
        factors = [int(i.split(".")[1]) for i in plan]
        self.assertEqual(list(dict.fromkeys(factors)), [1000, 2000, 1500], "in the order given")
        # Configurations alternate inside each invocation.
        for i in range(0, len(plan), 2):
            self.assertEqual({plan[i].split(".")[3], plan[i + 1].split(".")[3]}, {"small", "large"})
            self.assertEqual(plan[i].split(".")[4], plan[i + 1].split(".")[4])
        self.assertNotEqual(len({plan[i].split(".")[3] for i in range(0, len(plan), 2)}), 1, "their order is shuffled")
        table = (self.out / "results/results.csv").read_text(encoding="utf-8").splitlines()
        self.assertEqual(len(table), 1 + 18)
        self.assertIn("large", done.stdout)
        facts = json.loads((self.out / "results/machine.jsonl").read_text(encoding="utf-8").splitlines()[0])
        for key in ("uname", "load", "commit", "arguments", "governor"):
            self.assertIn(key, facts)

    def test_spacing_is_running_ngs(self):
        path = self.experiment("range = 6.0\npoints = 9\nhighest = 512", 1)
        plan = self.sweep(path, "--plan")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        factors = dict.fromkeys(int(line.split()[-1].split(".")[1]) for line in plan.stdout.splitlines())
        self.assertEqual(list(factors)[:3], [1000, 6000, 3024], "ends and middle first")
        self.assertEqual(sorted(factors), [1000, 1417, 1893, 2429, 3024, 3679, 4393, 5167, 6000])

    def test_an_interrupted_sweep_goes_on_without_losing_or_repeating(self):
        path = self.experiment("", 8)
        running = subprocess.Popen([SWEEP, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "STAND_IN_SLEEP": "0.2"}, start_new_session=True)
        while len(self.ran()) < 5:
            self.assertIsNone(running.poll(), "ended by itself")
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 130, errors)
        self.assertIn("goes on from here", errors)
        statuses = {p: p.stat().st_mtime_ns for p in (self.out / "results/runs").glob("*.status")}
        self.assertTrue(0 < len(statuses) < 16)
        again = self.sweep(path)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn(f"16 runs, {len(statuses)} done before", again.stderr)
        for finished, when in statuses.items():
            self.assertEqual(finished.stat().st_mtime_ns, when, "a finished run is not run again")
        self.assertEqual(len(list((self.out / "results/runs").glob("*.status"))), 16)

    def test_jobs_run_under_gnu_parallel_and_are_collected(self):
        self.assertIsNotNone(shutil.which("parallel"), "GNU parallel is not installed")
        path = self.experiment("multiples = [1.0, 3.0]\nhighest = 256", 2)
        jobs = self.sweep(path, "--jobs")
        self.assertEqual(jobs.returncode, 0, jobs.stderr)
        lines = jobs.stdout.splitlines()
        self.assertEqual(len(lines), 8)
        for line in lines:
            self.assertRegex(line, r"--only \S+ -o /\S+\.json$")
        done = subprocess.run(["parallel", "-j2"], input=jobs.stdout, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.sweep(path, "--jobs").stdout, "", "nothing is left to do")
        collected = self.sweep(path, "--collect")
        self.assertEqual(collected.returncode, 0, collected.stderr)
        self.assertIn("8 runs of 1 machine", collected.stdout)

    def test_failures_are_told_from_out_of_memory(self):
        path = self.experiment("multiples = [0.5, 1.0]\nhighest = 256", 1,
                               f'[[config]]\nname = "crashing"\nkind = "unlimited"\ncommand = ["{self.program}"]\nargs = ["crash"]\n')
        done = self.sweep(path)
        self.assertEqual(done.returncode, 0, done.stderr)
        outcomes = collections.Counter(json.loads(p.read_text(encoding="utf-8"))["outcome"] for p in (self.out / "results/runs").glob("*.status"))
        self.assertEqual(outcomes, {"out_of_memory": 2, "done": 2, "failed": 1})

    def test_a_java_configuration_gets_its_heap_and_its_log_becomes_the_report(self):
        java = self.out / "java"
        java.write_text(f"""#!/bin/sh
# Needs -Xmx50m; logs as JDK 17 does.
case "$1" in -Xmx*m) heap=${{1#-Xmx}}; heap=${{heap%m}} ;; *) exit 1 ;; esac
[ "$3" = -XX:+ExitOnOutOfMemoryError ] || exit 1
[ "$heap" -ge 50 ] || exit 3
for word in "$@"; do case "$word" in -Xlog:*) cp {SAMPLES}/jdk17-Serial.log "${{word#*file=}}" ;; esac; done
""", encoding="utf-8")
        java.chmod(0o755)
        path = self.experiment("multiples = [1.0]\nhighest = 512", 2,
                               f'[[config]]\nname = "serial"\nkind = "java"\ncommand = ["{java}", "-Xlog:gc*:file={{log}}", "-jar", "x.jar"]\n')
        done = self.sweep(path)
        self.assertEqual(done.returncode, 0, done.stderr)
        least = json.loads((self.out / "results/minheap.json").read_text(encoding="utf-8"))["stand-in"]["serial"]
        self.assertTrue(50 <= least <= 51, least)
        reports = sorted((self.out / "results/runs").glob("*.serial.*.json"))
        self.assertEqual(len(reports), 2)
        report = json.loads(reports[0].read_text(encoding="utf-8"))
        self.assertEqual(report["collector"]["name"], "Serial")
        self.assertEqual(report["workload"]["name"], "stand-in")

    def test_bad_files_get_one_line(self):
        good = self.experiment().read_text(encoding="utf-8")
        for text, words in (("", "at least one"), ("a = ", "not TOML"), (good.replace("invocations = 3", "invocations = 0"), "invocations"),
                            (good + "\n[soup]\n", "soup"), (good.replace('name = "large"', 'name = "small"'), "one name"),
                            (good.replace("multiples = [1.0, 2.0, 1.5]", "points = 4"), "power of two"),
                            (good.replace(str(self.program), "/no/such/program"), "/no/such/program")):
            bad = self.out / "bad.toml"
            bad.write_text(text, encoding="utf-8")
            done = self.sweep(bad)
            self.assertEqual(done.returncode, 2, done.stderr)
            lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(words, lines[0])
        self.assertEqual(self.sweep(self.out / "absent.toml").returncode, 2)

    def test_a_real_workload_under_two_collectors(self):
        path = self.out / "real.toml"
        path.write_text("""
out = "real"
invocations = 1
[[workload]]
program = "requests"
args = ["--operations", "3000", "--live", "4MiB"]
[[config]]
name = "keel"
[[config]]
name = "malloc"
kind = "unlimited"
args = ["--collector", "malloc"]
""", encoding="utf-8")
        done = self.sweep(path)
        self.assertEqual(done.returncode, 0, done.stderr)
        reports = sorted((self.out / "real/runs").glob("*.json"))
        self.assertEqual(len(reports), 2)
        self.assertEqual(subprocess.run([BIN / "gcreport", "validate", *reports], capture_output=True, check=False).returncode, 0)


class Watch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name)

    def watch(self, *arguments, **options):
        return subprocess.run([WATCH, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options)

    def test_every_gctrace_line_of_every_version_is_read(self):
        for sample in SAMPLES.glob("gctrace-*"):
            text = sample.read_text(encoding="utf-8")
            count = len(re.findall(r"^gc \d", text, re.M))
            done = self.watch("--gctrace", input=text)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"{count} collections", done.stdout)
            self.assertNotIn("not understood", done.stdout)
        old = "gc 1 @0.038s 1%: 0.01+0.20+0.03+0.40+0.05 ms clock, 0.01+0.20+0+0.1/0.2/0.3+0.05 ms cpu, 4->5->1 MB, 5 MB goal, 8 P\n"
        self.assertIn("1 collections", self.watch("--gctrace", input=old + "soup\n").stdout)
        self.assertIn("1 lines not understood", self.watch("--gctrace", input=old + "soup\n").stdout)

    def test_a_growing_events_file_and_its_page(self):
        events, page = self.out / "events.jsonl", self.out / "page.html"
        run = subprocess.Popen([BIN / "ballast", "--live", "4MiB", "--duration", "30s", "--events", events, "--quiet", "--report", self.out / "r.json"])
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        while not events.exists() or '{"cycle":{' not in events.read_text(encoding="utf-8"):
            self.assertIsNone(run.poll())
            time.sleep(0.02)
        watching = subprocess.Popen([WATCH, events, "--page", page], stdout=subprocess.PIPE, text=True)
        seen = set()
        while len(seen) < 3:  # the page is written anew as collections come
            if page.exists():
                found = re.search(r"(\d+) collections", page.read_text(encoding="utf-8"))
                if found and int(found[1]) > 0:
                    seen.add(int(found[1]))
            self.assertIsNone(watching.poll())
            self.assertIsNone(run.poll())
            time.sleep(0.05)
        watching.send_signal(signal.SIGINT)
        out, _ = watching.communicate(timeout=60)
        self.assertEqual(watching.returncode, 0)
        self.assertIn("ballast on keel", out)
        self.assertIn("http-equiv=\"refresh\"", page.read_text(encoding="utf-8"))

    def test_bad_input_gets_one_line(self):
        for arguments in ([], ["/no/such/file"], ["--gctrace", "x"], ["--gctrace", "--keep", "1"], ["--gctrace", "--page", "/no/such/folder/p.html"]):
            done = self.watch(*arguments, input="")
            self.assertEqual(done.returncode, 2)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        broken = self.out / "broken.jsonl"
        broken.write_text('{"schema":"keel.events"}\n{"cycle":17}\nnull\n{"pa', encoding="utf-8")
        done = self.watch("--once", broken)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 lines not understood", done.stdout)


if __name__ == "__main__":
    sys.exit(unittest.main())
