#!/usr/bin/python3
"""The programs as a user meets them: bad input, interruption, running out, reports of real runs, plots.

Run by ctest with KEEL_BIN set to the folder of the programs. Each test is one fact.
"""
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import jsonschema

BIN = pathlib.Path(os.environ["KEEL_BIN"])
ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "reports/schema/keel.report.schema.json").read_text(encoding="utf-8"))
SMALL = ["--live", "4MiB", "--threads", "2", "--operations", "20000"]
SANITIZED = os.environ.get("KEEL_SANITIZED", "")
OPTIMIZED = os.environ.get("KEEL_BUILD_TYPE") == "Release"


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)

    def run_program(self, *arguments, program="ballast", **options):
        return subprocess.run([str(BIN / program), *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              check=False, **options)

    def report_of(self, *arguments, status=0, **options):
        path = self.out / "report.json"
        done = self.run_program(*arguments, "--report", path, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        report = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(report, SCHEMA)
        valid = self.run_program("validate", path, program="gcreport")
        self.assertEqual(valid.returncode, 0, valid.stdout)
        self.assertEqual(list(self.out.glob("*.tmp.*")), [], "no half-written report stays behind")
        return report

    def assert_refused(self, done, *words):
        self.assertEqual(done.returncode, 2, done.stderr)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        for word in words:
            self.assertIn(word, lines[0])


class BadInput(Cli):
    def test_each_gets_one_line_that_names_option_and_value(self):
        (self.out / "binary").write_bytes(b"a\nb\x00c\n")
        (self.out / "empty").write_bytes(b"")
        cases = [
            (["--frobnicate"], ["frobnicate"]),
            (["--ballast", "10.5GiB"], ["--ballast", "'10.5GiB'", "KiB"]),
            (["--ballast", "10GB"], ["--ballast", "'10GB'"]),
            (["--gogc", "-5"], ["--gogc", "'-5'", "[0, 1000000]"]),
            (["--threads", "0"], ["--threads", "'0'", "[1, 1024]"]),
            (["--threads", "two"], ["--threads", "'two'"]),
            (["--barrier", "magic"], ["--barrier", "'magic'", "hybrid-conditional"]),
            (["--barrier", "magic"], ["--barrier", "'magic'"]),
            (["--transitions", "jump"], ["--transitions", "'jump'", "stw, handshake"]),
            (["--transitions", "handshake", "--barrier", "yuasa"], ["--barrier", "'yuasa'", "snapshot"]),
            (["--transitions", "handshake", "--barrier", "none"], ["--barrier", "'none'", "unsound"]),
            (["--roots", "some"], ["--roots", "'some'"]),
            (["--debug", "stress=0"], ["--debug", "stress"]),
            (["--traceback", "some"], ["--traceback", "'some'", "none, single, all, system, crash"]),
            (["--debug", "everything"], ["--debug", "'everything'"]),
            (["--duration", "10"], ["--duration", "'10'"]),
            (["--duration", "1s", "--operations", "5"], ["--operations"]),
            (["--keys", self.out / "none"], ["--keys", "none", "No such file"]),
            (["--keys", self.out / "binary"], ["--keys", "binary", "byte 3"]),
            (["--keys", self.out / "empty"], ["--keys", "no key"]),
            (["--keys", self.out], ["--keys", "folder"]),
            (["--report", "/no/such/folder/r.json"], ["--report", "/no/such/folder"]),
            (["--report", self.out], ["--report", "folder"]),
            (["--events", "/no/such/folder/e"], ["--events", "/no/such/folder"]),
            (["--trace", "/no/such/folder/t"], ["--trace", "/no/such/folder"]),
            (["--trace", "-"], ["--trace", "'-'"]),
            (["--events", "-"], ["--events", "'-'"]),
            (["--report", ""], ["--report", "''"]),
            (["--collector", "zgc"], ["--collector", "'zgc'"]),
            (["--collector", "malloc", "--gogc", "50"], ["--gogc", "malloc"]),
            (["--collector", "malloc", "--max-heap", "1GiB"], ["--max-heap", "malloc"]),
            (["--object-bytes", "8"], ["--object-bytes", "[24, 32768]"]),
            (["--replace", "101"], ["--replace", "[0, 100]"]),
            (["--collections", "3"], ["--collections", "--operations"]),
            (["--memory-limit", "10.5GiB"], ["--memory-limit", "10.5GiB"]),
            (["--goal", "membalancer=-1"], ["--goal", "'-1'", "[1e-09, 1e+09]"]),
            (["--goal", "fixed=much"], ["--goal", "fixed=SIZE", "much"]),
            (["--goal", "fixed=64MiB", "--gogc", "50"], ["--gogc", "fixed"]),
            (["stray"], ["stray"]),
        ]
        for arguments, words in cases:
            with self.subTest(arguments=list(map(str, arguments))):
                self.assert_refused(self.run_program(*arguments), *words)

    def test_bad_environment_is_named(self):
        self.assert_refused(self.run_program(*SMALL, env={**os.environ, "GOGC": "many"}), "GOGC", "'many'")
        self.assert_refused(self.run_program(*SMALL, env={**os.environ, "KEEL_DEBUG": "x"}), "KEEL_DEBUG", "'x'")

    def test_environment_that_does_not_apply_is_noted_once(self):
        done = self.run_program(*SMALL, "--collector", "malloc", "--quiet", env={**os.environ, "GOGC": "50"})
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("GOGC"), 1)

    def test_gcreport_names_what_it_cannot_read(self):
        (self.out / "text").write_text("not json", encoding="utf-8")
        (self.out / "other").write_text("{}", encoding="utf-8")
        for name, words in (("none", "cannot be read"), ("text", "not JSON"), ("other", "not a keel.report")):
            self.assert_refused(self.run_program("summary", self.out / name, program="gcreport"), words)
        self.assert_refused(self.run_program(program="gcreport"), "subcommand")


class Runs(Cli):
    def test_help_lists_every_flag_with_its_default(self):
        done = self.run_program("--help")
        self.assertEqual(done.returncode, 0)
        for flag in ("--ballast", "--gogc", "--roots", "--debug", "--keys", "--live"):
            self.assertIn(flag, done.stdout)
        self.assertRegex(self.run_program("--version").stdout, r"keel \d+\.\d+\.\d+, commit ")

    def test_report_is_valid_on_every_collector(self):
        collectors = ["keel", "malloc"] + (["boehm", "boehm-incremental"] if (BIN / "ballast-boehm").exists() else [])
        for collector in collectors:
            with self.subTest(collector=collector):
                report = self.report_of(*SMALL, "--collector", collector)
                self.assertTrue(report["complete"])
                self.assertTrue(report["workload"]["self_check"]["passed"])
                self.assertEqual(report["collector"]["name"], collector)
                self.assertEqual(report["run"]["operations"], 20000)
                self.assertEqual(report["latency"]["simple"]["count"], 20000)
                if collector != "malloc":
                    self.assertGreater(len(report["cycles"]), 0)

    def test_precise_roots_debug_checks_and_poison_pass(self):
        report = self.report_of(*SMALL, "--roots", "precise", "--debug", "checkmark,walk,poison")
        self.assertTrue(report["workload"]["self_check"]["passed"])
        report = self.report_of("--live", "64KiB", "--threads", "2", "--operations", "300", "--debug",
                                "checkmark,walk,stress=500")
        self.assertGreater(report["memstats"]["NumForcedGC"], 10)

    def test_ballast_is_virtual_and_lowers_the_number_of_cycles(self):
        without = self.report_of(*SMALL)
        with_ballast = self.report_of(*SMALL, "--ballast", "1GiB")
        grown = with_ballast["run"]["virtual_bytes"] - without["run"]["virtual_bytes"]
        # The heap itself grows too, because nothing is collected: at most by all that was allocated.
        self.assertGreaterEqual(grown, 1 << 30)
        if not SANITIZED:  # a sanitizer's own tables grow too
            self.assertLess(grown, (1 << 30) + without["memstats"]["TotalAlloc"])
        self.assertGreater(len(without["cycles"]), 3 * len(with_ballast["cycles"]))

    def test_same_seed_allocates_the_same(self):
        one = ["--live", "4MiB", "--operations", "20000", "--seed", "7"]
        first, second = self.report_of(*one), self.report_of(*one)
        other = self.report_of(*one[:-1], "8")
        for key in ("TotalAlloc", "Mallocs"):
            self.assertEqual(first["memstats"][key], second["memstats"][key])
        self.assertEqual(first["results"]["replaced"], second["results"]["replaced"])
        self.assertNotEqual(first["results"]["replaced"], other["results"]["replaced"])

    def test_gctrace_is_gos(self):
        line = re.compile(
            r"^gc (\d+) @([\d.]+)s (\d+)%: ([\d.]+)\+([\d.]+)\+([\d.]+) ms clock, "
            r"([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu, (\d+)->(\d+)->(\d+) MB, (\d+) MB goal, "
            r"(?:(\d+) MB stacks, (\d+) MB globals, )?(\d+) P( \(forced\))?$")
        done = self.run_program(*SMALL, "--gctrace", "--quiet")
        lines = done.stderr.strip().splitlines()
        self.assertGreater(len(lines), 2)
        for text in lines:
            self.assertRegex(text, line)

    def test_every_trace_line_is_gos(self):
        pacer = re.compile(
            r"^pacer: assist ratio=([+-][\d.e+-]+) \(scan (\d+) MB in (\d+)->(\d+) MB\) "
            r"workers=(\d+)\+([+-][\d.e+-]+)$|"
            r"^pacer: (-?\d+)% CPU \((\d+) exp\.\) for (\d+)\+(\d+)\+(\d+) B work \((\d+) B exp\.\) "
            r"in (\d+) B -> (\d+) B \(∆goal (-?\d+), cons/mark ([+-][\d.e+-]+)\)$")
        scav = re.compile(
            r"^scav (\d+) KiB work(?: \(bg\), (\d+) KiB work \(eager\))?, (\d+) KiB (?:total|now), "
            r"(\d+)% util( \(forced\))?( \[controller reset\])?$")
        done = self.run_program(*SMALL, "--debug", "pacertrace,scavtrace", "--quiet")
        lines = done.stderr.strip().splitlines()
        self.assertGreater(sum(text.startswith("pacer: ") for text in lines), 3)
        self.assertGreater(sum(text.startswith("scav ") for text in lines), 3)
        for text in lines:
            self.assertTrue(pacer.match(text) or scav.match(text), text)

    def test_every_barrier_and_transition_leaves_a_valid_report(self):
        for transitions in ("stw", "handshake"):
            for barrier in ("hybrid", "hybrid-conditional", "dijkstra", "yuasa", "none"):
                if transitions == "handshake" and barrier in ("yuasa", "none"):
                    continue
                report = self.report_of(*SMALL, "--barrier", barrier, "--transitions", transitions)
                kinds = {total["kind"] for total in report["pause_totals"]}
                stops = {"sweep_termination", "mark_termination"} & kinds
                wanted = {("stw", "none"): {"mark_termination"}, ("stw", barrier): stops or {"missing"}}
                self.assertEqual(stops, wanted.get((transitions, barrier), set()), (barrier, transitions))
                if transitions == "handshake":
                    self.assertEqual(report["memstats"]["PauseTotalNs"], 0)

    def test_checkmark_tells_what_stacks_retain(self):
        report = self.report_of(*SMALL, "--debug", "checkmark")
        for cycle in report["cycles"]:
            self.assertLess(cycle["roots"]["retained_bytes"], 1 << 20)
            self.assertIn("unmarked_targets", cycle["roots"])

    def test_without_keep_alive_a_closed_or_another_file_is_read(self):
        small = ["--tries", "200", "--objects", "1000"]
        on = self.report_of("--keep-alive", "on", *small, program="finalizers")["results"]
        self.assertEqual((on["good_reads"], on["bad_reads"], on["wrong_file_reads"]), (200, 0, 0))
        precise = self.report_of("--keep-alive", "off", "--roots", "precise", *small, program="finalizers")["results"]
        self.assertEqual(precise["good_reads"], 200)
        off = self.report_of("--keep-alive", "off", *small, program="finalizers")["results"]
        self.assertEqual(off["good_reads"] + off["bad_reads"] + off["wrong_file_reads"], 200)
        if OPTIMIZED:
            self.assertGreater(off["bad_reads"], 0)
            self.assertGreater(off["wrong_file_reads"], 0)
        self.assertEqual(sorted(off["cost_ns"]), ["cleanup", "finalizer", "none", "weak"])
        for transitions in ("stw", "handshake"):
            report = self.report_of("--keep-alive", "on", "--transitions", transitions, *small, program="finalizers")
            ran = report["finalization"]["finalizers"]
            self.assertEqual(ran["queued"], ran["executed"])
        self.assert_refused(self.run_program("--keep-alive", "maybe", program="finalizers"), "--keep-alive", "'maybe'")
        self.assert_refused(self.run_program("--collector", "malloc", program="finalizers"), "--collector", "malloc")
        if (BIN / "finalizers-boehm").exists():
            boehm = self.report_of("--keep-alive", "on", "--collector", "boehm", *small, program="finalizers")["results"]
            self.assertEqual((boehm["good_reads"], boehm["bad_reads"], boehm["wrong_file_reads"]), (200, 0, 0))
            self.assertEqual(sorted(boehm["cost_ns"]), ["finalizer_ordered", "finalizer_unordered", "none", "weak"])
            for kind in ("finalizer_ordered", "finalizer_unordered"):
                self.assertGreater(boehm["finalizers"][kind]["objects"], 900)

    def test_integers_are_not_pointers(self):
        for roots, kept_by_the_stack in (("conservative", True), ("precise", False)):
            results = self.report_of("--roots", roots, program="pointer_kinds")["results"]
            kept = {kind["what"]: kind["kept"] for kind in results["kinds"]}
            self.assertTrue(kept["Ptr<T> in the heap"])
            self.assertFalse(kept["uintptr_t in the heap"])
            self.assertFalse(kept["disguised pointer (xor), on the stack"])
            self.assertEqual(kept["pointer into the middle, on the stack"], kept_by_the_stack)
            scanned = {row["type"]: row["scanned_bytes"] for row in results["structs"]}
            self.assertLess(scanned["PointersFirst"], scanned["PointersLast"])
        printed = self.run_program(program="pointer_kinds").stdout
        for words in ("sizeof", "alignof", "offsets", "Ptr<T>", "not as promised"):
            self.assertEqual(words in printed, words != "not as promised", printed)
        self.assert_refused(self.run_program("--collector", "boehm", program="pointer_kinds"), "--collector", "boehm")

    def test_every_goal_and_a_memory_limit_leave_a_valid_report(self):
        for goal, said in ((["--goal", "fixed=32MiB"], "fixed=32MiB"), (["--goal", "membalancer=0.5"], "membalancer=0.5"),
                           (["--memory-limit", "64MiB", "--gogc", "off"], "gogc")):
            report = self.report_of(*SMALL, *goal)
            self.assertEqual(report["collector"]["goal"], said)
        self.assertEqual(report["collector"]["memory_limit_bytes"], 64 << 20)
        report = self.report_of(*SMALL, env={**os.environ, "GOMEMLIMIT": "48MiB"})
        self.assertEqual(report["collector"]["memory_limit_bytes"], 48 << 20)

    def test_the_go_twin_does_the_same_requests(self):
        if not (BIN / "ballast-go").exists():
            self.skipTest("Go is not installed, or this is a sanitizer's build")
        one = ["--live", "4MiB", "--operations", "20000", "--seed", "7"]
        keel = self.report_of(*one)
        go = self.report_of(*one, program="ballast-go")
        self.assertEqual(go["collector"]["name"], "go")
        self.assertTrue(go["workload"]["self_check"]["passed"])
        for key in ("requests", "replaced"):
            self.assertEqual(go["results"][key], keel["results"][key])
        self.assertGreater(len(go["cycles"]), 3)
        refused = self.run_program("--object-bytes", "128", program="ballast-go")
        self.assert_refused(refused, "--object-bytes", "128")

    def test_events_are_json_lines_with_a_version_first(self):
        events = self.out / "events.jsonl"
        report = self.report_of(*SMALL, "--events", events)
        lines = [json.loads(text) for text in events.read_text(encoding="utf-8").splitlines()]
        self.assertEqual(lines[0]["schema"], "keel.events")
        self.assertEqual(sum("cycle" in line for line in lines), len(report["cycles"]))

    def test_a_trace_is_what_gcreport_exports(self):
        trace = self.out / "trace.json"
        self.report_of(*SMALL, "--trace", trace)
        exported = subprocess.run([str(BIN / "gcreport"), "export", "--format", "perfetto", str(self.out / "report.json")],
                                  capture_output=True, check=True)
        self.assertEqual(trace.read_bytes(), exported.stdout)
        self.assertGreater(len(json.loads(trace.read_bytes())["traceEvents"]), 10)

    def test_anonymous_leaves_host_and_paths_out(self):
        keys = self.out / "keys"
        keys.write_text("one\ntwo\nthree\n", encoding="utf-8")
        report = self.report_of(*SMALL, "--anonymous", "--keys", keys)
        self.assertNotIn("hostname", report["environment"])
        self.assertNotIn(str(self.out), json.dumps(report))

    def test_keys_that_are_not_utf8_make_a_valid_report(self):
        keys = self.out / "keys"
        keys.write_bytes(b"caf\xe9\nna\xefve\n")
        self.report_of(*SMALL, "--keys", keys)

    def test_report_to_standard_output_is_all_that_is_printed(self):
        done = self.run_program(*SMALL, "--report", "-")
        jsonschema.validate(json.loads(done.stdout), SCHEMA)

    def test_mark_graph_checks_itself(self):
        report = self.report_of("--nodes", "20000", "--collections", "2", program="mark_graph")
        self.assertEqual(len(report["results"]["collection_ns"]), 2)
        self.assertTrue(report["workload"]["self_check"]["passed"])


class Endings(Cli):
    def interrupted(self, number):
        path = self.out / "report.json"
        (self.out / "events").unlink(missing_ok=True)
        process = subprocess.Popen([str(BIN / "ballast"), "--live", "4MiB", "--threads", "2", "--duration", "60s", "--quiet",
                                    "--report", str(path), "--events", str(self.out / "events"), "--trace",
                                    str(self.out / "trace")])
        # Wait for the event, not for a time: the first collection has been recorded.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            events = self.out / "events"
            if events.exists() and '{"cycle":{' in events.read_text(encoding="utf-8"):
                break
            time.sleep(0.01)
        process.send_signal(number)
        self.assertEqual(process.wait(60), 128 + number)
        report = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(report, SCHEMA)
        self.assertFalse(report["complete"])
        self.assertEqual(report["run"]["signal"], number)
        self.assertGreater(len(report["cycles"]), 0)
        self.assertGreater(len(json.loads((self.out / "trace").read_bytes())["traceEvents"]), 0)

    def test_a_crash_leaves_its_own_report_and_the_incomplete_one(self):
        for number, level in ((signal.SIGSEGV, "single"), (signal.SIGABRT, "system")):
            with self.subTest(signal=number):
                path = self.out / "report.json"
                events = self.out / "events"
                events.unlink(missing_ok=True)
                process = subprocess.Popen(
                    [str(BIN / "ballast"), "--live", "4MiB", "--threads", "2", "--duration", "60s", "--quiet", "--traceback",
                     level, "--report", str(path), "--events", str(events)], stderr=subprocess.PIPE, text=True)
                while process.poll() is None and not (events.exists() and '{"cycle":{' in events.read_text(encoding="utf-8")):
                    time.sleep(0.01)
                process.send_signal(number)
                _, errors = process.communicate(timeout=60)
                self.assertEqual(process.returncode, -number, errors)
                self.assertIn(f"keel: fatal: signal {int(number)}", errors)
                crash = (self.out / "report.json.crash.txt").read_text(encoding="utf-8")
                if SANITIZED == "thread":  # reports the races of a handler that reads a heap in motion, in between
                    crash_lines = set(crash.splitlines())
                    self.assertEqual(crash_lines - set(errors.splitlines()), set(), "the file has what was said")
                else:
                    self.assertIn(crash, errors, "the file has what was said")
                for words in ("cycles completed", "last events", "mutator 1", "stack of the dying thread"):
                    self.assertIn(words, crash)
                self.assertEqual("'keel-cycle':" in crash, level == "system", crash)
                report = json.loads(path.read_text(encoding="utf-8"))
                jsonschema.validate(report, SCHEMA)
                self.assertFalse(report["complete"])
                self.assertEqual(report["run"]["signal"], number)
                self.assertIn(f"signal {int(number)}", report["run"]["error"])
                self.assertGreater(len(report["cycles"]), 0)

    def test_interruption_leaves_a_valid_incomplete_report(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.interrupted(number)

    def test_an_interrupted_go_twin_leaves_its_cycles(self):
        if not (BIN / "ballast-go").exists():
            self.skipTest("Go is not installed, or this is a sanitizer's build")
        path = self.out / "go.json"
        child = subprocess.Popen([str(BIN / "ballast-go"), "--live", "4MiB", "--duration", "60s", "--gctrace", "--report",
                                  str(path)], stderr=subprocess.PIPE, text=True)
        for line in child.stderr:
            if line.startswith("gc 20 "):
                break
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=30)
        self.assertEqual(child.returncode, 128 + signal.SIGTERM)
        report = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(report, SCHEMA)
        self.assertFalse(report["complete"])
        self.assertGreaterEqual(len(report["cycles"]), 20)

    def test_out_of_memory_ends_with_3_a_summary_and_a_report(self):
        for arguments, words in ((["--live", "64MiB", "--max-heap", "16MiB"], "--max-heap is 16MiB"),
                                 (["--ballast", "1GiB", "--max-heap", "16MiB"], "ballast of 1GiB"),
                                 (["--ballast", "8388607TiB"], "is more than the heap has addresses")):
            with self.subTest(arguments=arguments):
                path = self.out / "report.json"
                done = self.run_program(*arguments, "--operations", "1000", "--report", path)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertIn(words, done.stderr)
                self.assertNotIn("mprotect", done.stderr, "no call of the system failed")
                report = json.loads(path.read_text(encoding="utf-8"))
                jsonschema.validate(report, SCHEMA)
                self.assertFalse(report["complete"])
                self.assertIn("out of memory", report["run"]["error"])

    @unittest.skipIf(SANITIZED, "sanitizers need all addresses")
    def test_out_of_addresses_ends_with_3_and_a_report(self):
        limit = 6 << 30
        path = self.out / "report.json"
        done = self.run_program("--ballast", "10GiB", "--operations", "1000", "--report", path,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("of addresses left", done.stderr)
        self.assertFalse(json.loads(path.read_text(encoding="utf-8"))["complete"])


class Tools(Cli):
    def two_reports(self):
        paths = []
        for name, extra in (("off", []), ("on", ["--ballast", "256MiB"])):
            path = self.out / f"{name}.json"
            self.assertEqual(self.run_program(*SMALL, *extra, "--quiet", "--report", path).returncode, 0)
            paths.append(path)
        return paths

    def test_probes_are_in_the_executable(self):
        if not pathlib.Path("/usr/include/x86_64-linux-gnu/sys/sdt.h").exists():
            self.skipTest("no <sys/sdt.h>")
        notes = subprocess.run(["readelf", "--notes", str(BIN / "ballast")], capture_output=True, text=True, check=True)
        for name in ("cycle_begin", "mark_begin", "mark_end", "cycle_end", "stop_begin", "stop_end", "round_begin",
                     "round_end"):
            self.assertRegex(notes.stdout, rf"Provider: keel\n\s+Name: {name}\n")

    def test_summary_and_compare_show_both_sides(self):
        off, on = self.two_reports()
        summary = self.run_program("summary", off, on, program="gcreport").stdout
        for word in ("keel +256MiB", "world stop, p50", "assist, a mutator", "peak resident", "time to stop"):
            self.assertIn(word, summary)
        compare = self.run_program("compare", off, off, off, "--vs", on, on, on, program="gcreport")
        self.assertEqual(compare.returncode, 0, compare.stderr)
        self.assertIn("geometric mean", compare.stdout)
        facts = json.loads(self.run_program("compare", off, "--vs", on, "--json", program="gcreport").stdout)
        self.assertTrue(any(f["name"] == "collections" and f["ratio"] > 1 for f in facts["comparisons"][0]["facts"]))
        by = self.run_program("compare", off, on, "--by", "ballast", program="gcreport")
        self.assertIn("ballast 268435456", by.stdout)

    def test_compare_refuses_other_machines_unless_told(self):
        off, on = self.two_reports()
        other = json.loads(on.read_text(encoding="utf-8"))
        other["environment"]["cpu_model"] = "another processor"
        on.write_text(json.dumps(other), encoding="utf-8")
        self.assert_refused(self.run_program("compare", off, "--vs", on, program="gcreport"), "different machines")
        self.assertEqual(self.run_program("compare", off, "--vs", on, "--anyway", program="gcreport").returncode, 0)

    def test_plot_is_made_and_bad_reports_get_a_line(self):
        off, on = self.two_reports()
        script = str(ROOT / "scripts/plot_lastgc.py")
        for suffix, magic in (("png", b"\x89PNG"), ("svg", b"<?xml")):
            plot = self.out / f"plot.{suffix}"
            done = subprocess.run([script, str(off), str(on), "-o", str(plot)], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(plot.read_bytes().startswith(magic))
        (self.out / "bad.json").write_text("{", encoding="utf-8")
        done = subprocess.run([script, str(self.out / "bad.json")], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1)


if __name__ == "__main__":
    sys.exit(unittest.main())
