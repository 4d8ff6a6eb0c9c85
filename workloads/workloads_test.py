#!/usr/bin/python3
"""The workloads as a user runs them: each on every collector, its own check, its live bytes, its twin in Go.

Run by ctest as cli_test.py, whose frame it uses.
"""
import json
import subprocess
import sys
import unittest

from cli_test import BIN, ROOT, Cli

# Small runs: program -> arguments. Each workload says its live bytes in closed form.
SERVICES = {
    "requests": ["--live", "4MiB", "--operations", "2000"],
    "gcbench": ["--depth", "8", "--repetitions", "2"],
    "binary_trees": ["--depth", "10", "--repetitions", "2"],
    "graph_churn": ["--nodes", "3000", "--operations", "500"],
    "lru_cache": ["--entries", "2000", "--operations", "2000"],
    "big_arrays": ["--elements", "40000", "--chunks", "2", "--operations", "60"],
    "linked_list": ["--nodes", "20000", "--operations", "60"],
    "size_mix": ["--slots", "500", "--operations", "300"],
    "thread_churn": ["--entries", "50", "--operations", "200"],
    "phase_shift": ["--phases", "50ms,100MiB,10,4;50ms,0B,2,5", "--operations", "1000"],
}
NO_LIVE_TREE = ("gcbench",)  # its live data is a repetition's, gone at the end


class Workloads(Cli):
    def collectors(self, name):
        yield "keel"
        if (BIN / f"{name}-boehm").exists():
            yield "boehm"
        if name != "graph_churn":
            yield "malloc"

    def test_each_checks_itself_on_every_collector(self):
        for name, arguments in SERVICES.items():
            for collector in self.collectors(name):
                with self.subTest(workload=name, collector=collector):
                    report = self.report_of("--collector", collector, "--threads", "2", *arguments, program=name)
                    self.assertTrue(report["complete"])
                    self.assertTrue(report["workload"]["self_check"]["passed"])
                    self.assertGreater(report["run"]["operations"], 0)
                    self.assertGreater(report["results"]["live_bytes"], 0)
        self.assert_refused(self.run_program("--collector", "malloc", program="graph_churn"), "malloc", "collector")

    def test_live_bytes_are_exact_on_keel(self):
        for name, arguments in SERVICES.items():
            if name in NO_LIVE_TREE:
                continue
            with self.subTest(workload=name):
                # Precise roots: no stale word on a stack keeps anything by chance.
                report = self.report_of("--roots", "precise", *arguments, program=name)
                self.assertEqual(report["cycles"][-1]["heap_bytes"]["live"], report["results"]["live_bytes"])

    def test_every_barrier_and_transition_under_checkmark(self):
        for name in ("requests", "graph_churn", "lru_cache", "channels"):
            arguments = SERVICES.get(name, ["--operations", "3000", "--producers", "2", "--consumers", "2", "--capacity", "4"])
            for barrier, transitions in (("hybrid", "stw"), ("hybrid", "handshake"), ("hybrid-conditional", "handshake"),
                                         ("dijkstra", "stw"), ("dijkstra", "handshake"), ("yuasa", "stw"), ("none", "stw")):
                with self.subTest(workload=name, barrier=barrier, transitions=transitions):
                    self.report_of("--barrier", barrier, "--transitions", transitions, "--debug", "checkmark,walk,poison",
                                   *arguments, program=name)

    def test_maps_without_pointers_have_nothing_to_scan(self):
        for kind in ("go", "swiss"):
            for collector in self.collectors("maps"):
                results = self.report_of("--collector", collector, "--map", kind, "--entries", "20000", "--collections", "3",
                                         "--passes", "1", program="maps")["results"]
                forms = {form["form"]: form for form in results["forms"]}
                self.assertEqual(len(forms), 7)
                for form in ("bytes12-int", "int-int", "int-bytes128"):
                    self.assertLess(forms[form]["pointer_slots"], 200, form)
                for form in ("string-int", "string-string", "int-pointer", "bytes12-bytes129"):
                    self.assertGreater(forms[form]["pointer_slots"], 20000, form)
                    self.assertGreater(forms[form]["objects"], 20000, form)
                self.assertEqual(len(forms["int-int"].get("collection_ns", [])), 0 if collector == "malloc" else 3)
        table = self.run_program("--compare", "--entries", "1000", "--collections", "2", program="maps").stdout
        for words in ("pointer slots", "lookup", "bytes12-bytes129"):
            self.assertIn(words, table)
        self.assert_refused(self.run_program("--form", "int-float", program="maps"), "--form", "'int-float'", "int-pointer")
        self.assert_refused(self.run_program("--map", "tree", program="maps"), "--map", "'tree'")

    def test_what_a_map_takes_is_what_the_heap_says(self):
        for kind in ("go", "swiss"):
            for form in ("string-string", "int-int", "bytes12-bytes129"):
                report = self.report_of("--roots", "precise", "--map", kind, "--form", form, "--entries", "30000", "--passes", "1",
                                        "--collections", "2", program="maps")
                told = report["results"]["forms"][0]
                cycle = next(c for c in report["cycles"] if c["number"] == told["cycles"]["last"])
                self.assertEqual(cycle["heap_bytes"]["live"], told["bytes"], (kind, form))

    def test_channels_lose_nothing(self):
        for collector in self.collectors("channels"):
            for capacity in ("0", "1", "64"):
                results = self.report_of("--collector", collector, "--capacity", capacity, "--producers", "2", "--consumers", "2",
                                         "--operations", "3000", program="channels")["results"]
                self.assertEqual((results["sent"], results["received"]), (3000, 3000))
                self.assertGreater(results["mutex_queue_per_second"], 0)

    def test_strings_allocate_what_their_way_says(self):
        counts = {}
        for collector in self.collectors("strings"):
            results = self.report_of("--collector", collector, "--operations", "500", "--rounds", "1", program="strings")["results"]
            counts[collector] = {way["way"]: way["objects"] for way in results["ways"]}
        for of in counts.values():
            self.assertEqual((of["join"], of["concatenate"], of["format"]), (1, 65, 193))
            self.assertLess(of["builder"], of["append"])
        self.assert_refused(self.run_program("--way", "magic", program="strings"), "--way", "'magic'")

    def test_gogc_and_its_plot(self):
        path = self.out / "gogc.json"
        done = self.run_program("--percents", "50,200,800,off", "--live", "2MiB", "--operations", "20000", "--report", path,
                                program="gogc")
        self.assertEqual(done.returncode, 0, done.stderr)
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        parts = {part["gogc"]: part for part in results["parts"]}
        self.assertEqual(list(parts), [50, 200, 800, "off"])
        self.assertEqual(parts["off"]["cycles"], 0)
        self.assertGreater(parts[50]["cycles"], parts[200]["cycles"])
        self.assertGreater(parts[200]["cycles"], parts[800]["cycles"])
        self.assertLess(results["slope"], 0)
        script = str(ROOT / "scripts/plot_tradeoff.py")
        plot = self.out / "tradeoff.svg"
        done = subprocess.run([script, str(path), "-o", str(plot)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(plot.read_bytes().startswith(b"<?xml"))
        (self.out / "bad.json").write_text("[]", encoding="utf-8")
        done = subprocess.run([script, str(self.out / "bad.json")], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, len(done.stderr.strip().splitlines())), (2, 1), done.stderr)
        self.assert_refused(self.run_program("--percents", "50,many", program="gogc"), "--percents", "'many'")
        self.assert_refused(self.run_program("--collector", "boehm", program="gogc"), "--collector", "boehm")

    def test_bad_phases_and_sizes_are_named(self):
        for program, arguments, words in (
                ("phase_shift", ["--phases", "1s,1MiB,10"], ["--phases", "'1s,1MiB,10'", "SURVIVE_PERCENT"]),
                ("phase_shift", ["--phases", "1s,1MiB,10,101"], ["'101'", "[0, 100]"]),
                ("phase_shift", ["--phases", "0s,1MiB,10,1"], ["--phases", "duration"]),
                ("size_mix", ["--least-bytes", "64", "--most-bytes", "32"], ["--least-bytes", "64", "32"]),
                ("big_arrays", ["--chunks", "5", "--elements", "4"], ["--chunks", "5", "4"]),
                ("requests", ["--kept", "300"], ["--kept", "300", "208"]),
                ("strings", ["--ballast", "1GiB"], ["--ballast"])):
            with self.subTest(program=program, arguments=arguments):
                self.assert_refused(self.run_program(*arguments, program=program), *words)

    def test_twins_leave_valid_reports(self):
        if not (BIN / "requests-go").exists():
            self.skipTest("Go is not installed, or this is a sanitizer's build")
        small = {
            "requests": SERVICES["requests"], "gcbench": SERVICES["gcbench"], "binary_trees": SERVICES["binary_trees"],
            "maps": ["--entries", "5000", "--collections", "2"], "channels": ["--operations", "100000"],
            "strings": ["--operations", "200"], "finalizers": ["--tries", "50", "--objects", "500", "--rounds", "1"],
            "gogc": ["--percents", "50,200", "--live", "2MiB", "--operations", "3000"],
        }
        for name, arguments in small.items():
            with self.subTest(twin=name):
                report = self.report_of(*arguments, program=f"{name}-go")
                self.assertTrue(report["workload"]["self_check"]["passed"])
                self.assertEqual(report["collector"]["name"], "go")
                self.assertGreater(len(report["cycles"]), 0)
        # The hazard is Go's own.
        off = self.report_of("--keep-alive", "off", *small["finalizers"], program="finalizers-go")["results"]
        self.assertGreater(off["bad_reads"] + off["wrong_file_reads"], 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
