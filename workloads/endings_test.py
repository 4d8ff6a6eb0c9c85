#!/usr/bin/python3
"""However and whenever a run ends, its report is valid or absent: random ends, from a seed that is printed.

Run by ctest with KEEL_BIN set to the folder of the programs; KEEL_SEED repeats a run of the test.
"""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

from cli_test import BIN, SANITIZED, Cli

SEED = int(os.environ.get("KEEL_SEED", str(time.time_ns() % 1_000_000)))
# Short, with cycles that begin on their own at any moment.
BUSY = ["--live", "2MiB", "--warmup", "1ms", "--periodic", "1ms", "--quiet"]


class RandomEnds(Cli):
    def setUp(self):
        super().setUp()
        print(f"KEEL_SEED={SEED}", file=sys.stderr)
        self.random = random.Random(f"{SEED}/{self.id()}")
        self.path = self.out / "report.json"

    @staticmethod
    def rounds(most):
        """That many, or as many as begin within a quarter of a minute: a busy machine does fewer."""
        end = time.monotonic() + 15
        for number in range(most):
            if number >= 3 and time.monotonic() > end:
                return
            yield number

    def assert_valid(self, command):
        done = self.run_program("validate", self.path, program="gcreport")
        self.assertEqual(done.returncode, 0, f"{done.stdout} KEEL_SEED={SEED} {' '.join(command)}")
        return json.loads(self.path.read_text(encoding="utf-8"))

    def flags(self):
        transitions = self.random.choice(("stw", "handshake"))
        barrier = self.random.choice(("hybrid", "dijkstra") + (("yuasa", "none") if transitions == "stw" else ()))
        return ["--transitions", transitions, "--barrier", barrier, "--threads", str(self.random.choice((1, 2, 4)))]

    def test_a_cycle_that_runs_at_the_end_leaves_a_valid_report(self):
        for _ in self.rounds(25):
            program = self.random.choice(("ballast", "requests"))
            command = [*BUSY, *self.flags(), "--duration", f"{self.random.randrange(1, 25)}ms", "--report", str(self.path)]
            done = self.run_program(*command, program=program)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(self.assert_valid([program, *command])["complete"])

    def test_a_run_stopped_by_a_signal_leaves_a_valid_report(self):
        for _ in self.rounds(15):
            self.path.unlink(missing_ok=True)
            command = [*BUSY, *self.flags(), "--duration", "60s", "--report", str(self.path)]
            number = self.random.choice((signal.SIGINT, signal.SIGTERM))
            with subprocess.Popen([str(BIN / "ballast"), *command]) as process:
                time.sleep(self.random.uniform(0.005, 0.08))
                process.send_signal(number)
                status = process.wait(60)
            if status == -number:  # before there was a run
                self.assertFalse(self.path.exists())
                continue
            self.assertEqual(status, 128 + number)
            self.assertFalse(self.assert_valid(command)["complete"])

    def test_a_signal_is_answered_in_every_phase(self):
        """Set-up, collections, checks in a stop, a wait at the end, other collectors: a report that says incomplete, status 128 + n."""
        size = "64MiB" if SANITIZED else "512MiB"
        phases = [
            ("ballast", ["--live", size, "--duration", "60s"]),  # filling the store
            ("ballast", ["--live", "16MiB", "--ballast", "64GiB", "--debug", "checkmark,walk", "--gogc", "20", "--threads", "4",
                         "--duration", "60s"]),  # checks inside stops
            ("requests", ["--live", "16MiB", "--warmup", "30s", "--duration", "60s"]),
            ("size_mix", ["--threads", "4", "--duration", "60s"]),
            ("mark_graph", []),
            ("maps", ["--entries", "2000000"]),
            ("finalizers", ["--objects", "2000000"]),
            ("ballast", ["--collector", "malloc", "--live", size, "--duration", "60s"]),
        ]
        if not SANITIZED:
            phases.append(("ballast", ["--collector", "boehm", "--live", "256MiB", "--duration", "60s"]))
        longest = 0.0
        for _ in self.rounds(2):
            for program, flags in phases:
                self.path.unlink(missing_ok=True)
                command = [program, *flags, "--quiet", "--report", str(self.path)]
                number = self.random.choice((signal.SIGINT, signal.SIGTERM))
                with self.subTest(command=" ".join(command), seed=SEED):
                    with subprocess.Popen([str(BIN / program), *command[1:]]) as process:
                        time.sleep(self.random.uniform(0.02, 1.0))
                        process.send_signal(number)
                        if self.random.random() < 0.3:
                            process.send_signal(number)
                        begin = time.monotonic()
                        status = process.wait(60)
                        longest = max(longest, time.monotonic() - begin)
                    if status in (0, -number):  # it was over; there was no run yet
                        continue
                    self.assertEqual(status, 128 + number)
                    if self.path.exists():  # a second signal may end the writing
                        self.assertFalse(self.assert_valid(command)["complete"])
        print(f"signals: answered within {longest:.2f} s", file=sys.stderr)

    def interrupt(self, command, number, after):
        """(status, standard output, standard error) of a run that got the signal so many seconds after its start."""
        self.path.unlink(missing_ok=True)
        line = [str(BIN / command[0]), *command[1:], "--report", str(self.path)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(after)
            process.send_signal(number)
            begin = time.monotonic()
            out, err = process.communicate(timeout=60)
            self.longest = max(self.longest, time.monotonic() - begin)
        return process.returncode, out, err

    def test_a_signal_ends_the_set_up_of_every_workload(self):
        """Stores that would take minutes and terabytes: the filling itself looks at the signal."""
        live, ballast, threads = ("16GiB", "64GiB", "8") if SANITIZED else ("1TiB", "1TiB", "100")
        many = ["--threads", threads]
        stores = [
            ("ballast", "--live", live, *many), ("requests", "--live", live, *many), ("size_mix", "--slots", "100000000", *many),
            ("big_arrays", "--elements", "10000000", *many), ("graph_churn", "--nodes", "10000000", *many),
            ("linked_list", "--nodes", "1000000000", *many), ("lru_cache", "--entries", "10000000", *many),
            ("thread_churn", "--entries", "100000000", *many), ("binary_trees", "--depth", "26"), ("mark_graph", "--nodes", "100000000"),
            ("maps", "--entries", "1000000000"), ("gogc", "--live", live), ("strings", "--pieces", "1000000", "--piece-bytes", "100000"),
            ("finalizers", "--tries", "0", "--objects", "10000000"),
            ("ballast", "--ballast", ballast, "--live", live, "--debug", "checkmark", "--threads", "32", "--periodic", "10ms"),
        ]
        stores += [(*store, "--collector", "malloc") for store in stores[:8] if store[0] != "graph_churn"]
        self.longest = 0.0
        by_themselves = ended = 0
        for store in stores:
            number = self.random.choice((signal.SIGINT, signal.SIGTERM))
            transitions = [] if "malloc" in store else ["--transitions", self.random.choice(("stw", "handshake"))]
            command = [*store, *transitions]
            with self.subTest(command=" ".join(command), seed=SEED):
                status, out, _ = self.interrupt(command, number, self.random.uniform(0.05, 0.4))
                if status == -number:  # before there was a run
                    continue
                self.assertEqual(status, 128 + number)
                report = self.assert_valid(command)
                self.assertFalse(report["complete"])
                self.assertEqual(report["run"]["signal"], number)
                self.assertNotIn("self_check", report["workload"], "half a store is not checked")
                if command[0] not in ("maps", "finalizers"):  # they measure how long the filling takes
                    self.assertNotIn("measured", report["run"])
                ended += 1
                by_themselves += "stopped by signal" in out
        print(f"signals in set-up: {by_themselves} of {ended} runs came back by themselves, all within {self.longest:.2f} s", file=sys.stderr)
        self.assertGreater(by_themselves, 0)

    def test_a_set_up_that_needs_more_memory_than_there_is_says_so(self):
        twice = 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        for command, flag in ((("size_mix", "--slots", str(twice // 4800 // 4), "--threads", "4"), "--slots"), (("requests", "--live", str(twice)), "--live"),
                              (("binary_trees", "--depth", "26", "--gogc", "1000000"), "--depth"),
                              (("mark_graph", "--nodes", str(min(4_000_000_000, twice // 24))), "--nodes"),
                              (("maps", "--form", "int-int", "--entries", str(min(1_000_000_000, twice // 16)), "--gogc", "1000"), "--entries"),
                              (("gogc", "--live", str(twice)), "--live"), (("ballast", "--live", str(twice)), "--live")):
            with self.subTest(command=" ".join(command)):
                with subprocess.Popen([str(BIN / command[0]), *command[1:], "--quiet"], stderr=subprocess.PIPE, text=True) as process:
                    patience = threading.Timer(30, process.kill)  # it would fill the machine
                    patience.start()
                    line = process.stderr.readline()
                    patience.cancel()
                    process.send_signal(signal.SIGINT)
                    rest = process.stderr.read()
                    self.assertEqual(process.wait(60), 130)
                self.assertRegex(line, rf"^{command[0]}: note: this will need about \S+ \S+ of memory .*, \S+ \S+ are available; less of {flag}")
                self.assertEqual(rest, "")

    @staticmethod
    def has_signal(pid, kind, number):
        """`number` is in that set of /proc/PID/status."""
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return bool(int(re.search(rf"^{kind}:\s*(\w+)", status, re.M)[1], 16) >> (number - 1) & 1)

    @unittest.skipIf(SANITIZED == "thread", "the signal may hit the sanitizer's own code, whose locks the crash report then waits for")
    def test_a_crash_while_a_signal_is_answered_leaves_its_own_report_and_the_incomplete_one(self):
        """The second in which a workload may come back: here it cannot, for nobody reads its events."""
        events = self.out / "fifo"
        os.mkfifo(events)
        for _ in self.rounds(5):
            self.path.unlink(missing_ok=True)
            command = [str(BIN / "ballast"), "--live", "2MiB", "--quiet", "--report", str(self.path), "--events", str(events)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                while not self.has_signal(process.pid, "SigCgt", signal.SIGABRT):  # the last handler of crashes
                    time.sleep(0.005)
                process.send_signal(signal.SIGINT)
                while process.poll() is None and self.has_signal(process.pid, "ShdPnd", signal.SIGINT):
                    time.sleep(0.001)
                process.send_signal(signal.SIGSEGV)
                _, errors = process.communicate(timeout=60)
            if process.returncode == 128 + signal.SIGINT:  # a busy machine: the second was over
                continue
            self.assertEqual(process.returncode, -signal.SIGSEGV, errors)
            self.assertTrue(self.path.exists(), errors)
            report = self.assert_valid(command)
            self.assertFalse(report["complete"])
            self.assertIn(f"signal {int(signal.SIGSEGV)}", report["run"]["error"])

    def test_a_run_out_of_memory_leaves_a_valid_report(self):
        for _ in self.rounds(10):
            command = [*BUSY, *self.flags(), "--live", "16MiB", "--max-heap", f"{self.random.randrange(4, 14)}MiB", "--duration", "20ms",
                       "--report", str(self.path)]
            done = self.run_program(*command)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertFalse(self.assert_valid(command)["complete"])

    def test_a_run_that_is_killed_leaves_its_report_whole_or_not_at_all(self):
        """And its events readable to the last whole line. Short runs, so that many die while the report is written."""
        events, rebuilt = self.out / "events", self.out / "rebuilt.json"
        whole = cut = 0
        begin = time.monotonic()
        self.run_program(*BUSY, "--duration", "20ms", "--report", self.path)
        usual = time.monotonic() - begin  # on this machine, today: only where the deaths are spread
        for _ in self.rounds(25):
            for path in (self.path, events):
                path.unlink(missing_ok=True)
            command = [*BUSY, *self.flags(), "--sample-interval", "1ms", "--duration", f"{self.random.randrange(1, 40)}ms", "--report", str(self.path),
                       "--events", str(events)]
            with subprocess.Popen([str(BIN / "ballast"), *command]) as process:
                time.sleep(self.random.uniform(0, 1.5 * usual))
                process.kill()
                process.wait(60)
            if self.path.exists():
                self.assertTrue(self.assert_valid(command)["complete"])
                whole += 1
            for left in self.out.glob("*.tmp.*"):
                left.unlink()
            if not events.exists() or b"\n" not in events.read_bytes():
                continue
            text = events.read_bytes()
            done = self.run_program("import", "--format", "events", events, "-o", rebuilt, program="gcreport")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.run_program("validate", rebuilt, program="gcreport").returncode, 0, f"KEEL_SEED={SEED}")
            report = json.loads(rebuilt.read_text(encoding="utf-8"))
            self.assertFalse(report["complete"])
            self.assertEqual(report["import"]["read"], text.count(b"\n"), f"every whole line, KEEL_SEED={SEED}")
            self.assertEqual(report["import"]["unread"], 0 if text.endswith(b"\n") else 1)
            cut += 1
        print(f"{whole} reports whole, {cut} logs of events read", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main())
