#!/usr/bin/python3
"""What is not written is told: full disks, closed pipes, closed descriptors, one file for two outputs, bad inputs.

Run by ctest with KEEL_BIN set to the folder of the programs.
"""
import fcntl
import json
import os
import pathlib
import resource
import select
import signal
import stat
import subprocess
import sys
import threading
import time
import unittest

import jsonschema

from cli_test import BIN, ROOT, SCHEMA, SMALL, Cli

LOG = "gc {0} @{0}.012s 2%: 0.026+0.39+0.10 ms clock, 0.21+0.88/0.52/0.22+0.84 ms cpu, 4->4->0 MB, 5 MB goal, 8 P\n"


def limited_to(size):
    """A disk that is full after `size` bytes, for the program that is started."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def readable(descriptor):
    return bool(select.select([descriptor], [], [], 0)[0])


def threads_of(pid):
    """Their names."""
    return [(task / "comm").read_text(encoding="utf-8").strip() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


class Streams(Cli):
    def setUp(self):
        super().setUp()
        self.log = self.out / "log"
        self.log.write_text("".join(LOG.format(n) for n in range(1, 400)), encoding="ascii")
        self.json = self.out / "report.json"
        self.assertEqual(self.run_program("import", self.log, "-o", self.json, program="gcreport").returncode, 0)
        self.events = self.out / "events"
        self.events.write_text('{"schema":"keel.events","schema_version":1}\n', encoding="ascii")
        # As /dev/stdout, but nothing of the machine's: a program that replaces it must do no harm.
        self.stdout = self.out / "stdout"
        self.stdout.symlink_to("/proc/self/fd/1")
        self.sweep = self.out / "one.toml"
        self.sweep.write_text('out = "out"\ninvocations = 1\n[[workload]]\nprogram = "ballast"\n[[config]]\nname = "keel"\n', encoding="ascii")

    def printers(self):
        """(name, command): everything that prints to standard output."""
        gcreport, report = str(BIN / "gcreport"), str(self.json)
        for command in (["summary", report], ["summary", "--markdown", report], ["validate", report], ["import", str(self.log)],
                        ["export", "--format", "csv", report], ["export", "--format", "perfetto", report], ["--help"], ["--version"],
                        ["compare", report, "--vs", report], ["compare", report, "--vs", report, "--json"],
                        ["compare", report, "--vs", report, "--html"]):
            yield "gcreport", [gcreport, *command]
        for command in ([*SMALL], [*SMALL, "--report", "-"], [*SMALL, "--quiet", "--trace", str(self.stdout)], [*SMALL, "--quiet", "--events", str(self.stdout)], ["--help"]):
            yield "ballast", [str(BIN / "ballast"), *command]
        if (BIN / "gogc-go").exists():
            yield "gogc", [str(BIN / "gogc-go"), "--percents", "100", "--duration", "50ms"]
        if (BIN / "ballast-go").exists():
            yield "ballast", [str(BIN / "ballast-go"), *SMALL, "--report", "-"]
        yield "watch", [str(ROOT / "scripts/watch"), "--once", str(self.events)]
        yield "sweep", [str(ROOT / "scripts/sweep"), str(self.sweep), "--jobs"]

    def assert_told(self, done, name, *words):
        """Status 1, and one line of the program that says so."""
        self.assertEqual(done.returncode, 1, done.stderr)
        told = [line for line in done.stderr.splitlines() if "cannot be written" in line]
        self.assertEqual(len(told), 1, done.stderr)
        self.assertTrue(told[0].startswith(f"{name}: "), told[0])
        for word in words:
            self.assertIn(word, told[0])
        self.assertNotIn("Traceback", done.stderr)
        self.assertNotIn("terminate called", done.stderr)

    def test_standard_output_on_a_full_device_is_an_error(self):
        for name, command in self.printers():
            with self.subTest(command=command), open("/dev/full", "wb") as full:
                done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
                self.assert_told(done, name)

    def test_a_closed_pipe_is_an_error_and_kills_nobody(self):
        for name, command in self.printers():
            with self.subTest(command=command):
                reading, writing = os.pipe()
                os.close(reading)
                try:
                    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
                finally:
                    os.close(writing)
                self.assert_told(done, name)

    def test_a_pipe_that_closes_in_the_middle_is_an_error(self):
        report = json.loads(self.json.read_text(encoding="utf-8"))
        report["samples"] = [{"at_ns": n, "rss_bytes": 1} for n in range(20000)]
        self.json.write_text(json.dumps(report), encoding="utf-8")
        command = [str(BIN / "gcreport"), "export", "--format", "csv", "--table", "samples", str(self.json)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            self.assertTrue(process.stdout.readline())
            process.stdout.close()
            errors = process.stderr.read()
            process.wait(60)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(errors, "gcreport: standard output cannot be written: Broken pipe\n")

    def test_a_closed_standard_output_is_no_file_of_the_run(self):
        path = self.out / "run.json"
        done = subprocess.run(["sh", "-c", f"'{BIN}/ballast' {' '.join(SMALL)} --report '{path}' >&-"], stderr=subprocess.PIPE, text=True,
                              timeout=120, check=False)
        self.assert_told(done, "ballast", "standard output")
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), SCHEMA)

    def test_a_full_disk_leaves_the_old_file_and_one_line(self):
        path = self.out / "output"
        writers = [("gcreport", ["import", self.log, "-o", path]), ("gcreport", ["export", "--format", "csv", self.json, "-o", path]),
                   ("gcreport", ["compare", self.json, "--vs", self.json, "--html", "-o", path]),
                   ("ballast", [*SMALL, "--quiet", "--report", path]), ("ballast", [*SMALL, "--quiet", "--trace", path])]
        if (BIN / "ballast-go").exists():
            writers.append(("ballast-go", [*SMALL, "--quiet", "--report", path]))
        for program, arguments in writers:
            with self.subTest(program=program, arguments=list(map(str, arguments))):
                path.write_text("as it was", encoding="ascii")
                before = sorted(p.name for p in self.out.iterdir())
                done = self.run_program(*arguments, program=program, preexec_fn=limited_to(2000))
                self.assert_told(done, program.removesuffix("-go"), "ile too large")
                self.assertEqual(path.read_text(encoding="ascii"), "as it was")
                self.assertEqual(sorted(p.name for p in self.out.iterdir()), before, "no temporary file stays")

    def test_events_that_are_cut_are_told_in_the_report_and_readable_to_the_last_whole_line(self):
        events, path = self.out / "cut", self.out / "run.json"
        # Three files, one limit: the report must fit.
        done = self.run_program("--live", "4MiB", "--threads", "2", "--duration", "2s", "--sample-interval", "1ms", "--quiet", "--events", events,
                                "--report", "-", preexec_fn=limited_to(100_000))
        self.assert_told(done, "ballast", "events: ", "ile too large")
        report = json.loads(done.stdout)
        jsonschema.validate(report, SCHEMA)
        self.assertIn("ile too large", report["events"]["log_error"])
        self.assertEqual(events.stat().st_size, 100_000)
        rebuilt = self.run_program("import", "--format", "events", events, "-o", path, program="gcreport")
        self.assertEqual(rebuilt.returncode, 0, rebuilt.stderr)
        self.assertEqual(self.run_program("validate", path, program="gcreport").returncode, 0)
        counts = json.loads(path.read_text(encoding="utf-8"))["import"]
        self.assertLessEqual(counts["unread"], 1, "the last line alone may be half a line")
        self.assertEqual(counts["read"], events.read_bytes().count(b"\n"))

    def test_a_reader_of_events_that_leaves_does_not_end_the_run(self):
        reading, writing = os.pipe()
        os.close(reading)
        path = self.out / "run.json"
        try:
            done = self.run_program(*SMALL, "--quiet", "--report", path, "--events", f"/dev/fd/{writing}", pass_fds=[writing])
        finally:
            os.close(writing)
        self.assert_told(done, "ballast", "events: ", "Broken pipe")
        self.assertTrue(json.loads(path.read_text(encoding="utf-8"))["complete"])

    def start(self, program, *arguments):
        """A process that is gone when the test is, or a minute later: then it was not answered."""
        process = subprocess.Popen([str(BIN / program), *map(str, arguments)], stderr=subprocess.PIPE, text=True)
        killer = threading.Timer(60, process.kill)
        killer.start()

        def end():
            killer.cancel()
            process.kill()
            process.wait()
            process.stderr.close()
        self.addCleanup(end)
        return process

    def assert_answers(self, process, *signals):
        """The last of `signals`, which all arrive while it stands still, ends `process`. What it says on stderr, without gctrace."""
        process.send_signal(signal.SIGSTOP)
        for number in signals:
            process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        errors = process.stderr.read()
        process.wait()
        self.assertEqual(process.returncode, 128 + signals[-1], errors)
        return [line for line in errors.splitlines() if not line.startswith("gc ")]

    def assert_valid(self, path, complete):
        self.assertEqual(self.run_program("validate", path, program="gcreport").returncode, 0)
        report = json.loads(path.read_text(encoding="utf-8"))
        self.assertEqual(report["complete"], complete)
        return report

    def wait_for(self, process, happened):
        while not happened():
            self.assertIsNone(process.poll(), "it ended before")
            time.sleep(0.01)

    def unread_fifo(self, size=4096):
        """A FIFO that holds little, and its reader, which reads nothing by itself."""
        path = self.out / "fifo"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, size)
        return path, reader

    def test_a_signal_is_answered_while_nobody_opens_the_report(self):
        os.mkfifo(self.out / "fifo")
        trace = self.out / "trace"
        for signals in ((signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM)):
            with self.subTest(signals=signals):
                trace.unlink(missing_ok=True)
                process = self.start("binary_trees", "--duration", "60s", "--quiet", "--gctrace", "--report", self.out / "fifo", "--trace", trace)
                self.wait_for(process, lambda process=process: process.stderr.readline().startswith("gc "))
                said = self.assert_answers(process, *signals)
                if len(signals) == 2:  # the second one ends it at once
                    self.assertEqual(said, [])
                    continue
                self.assertEqual(len(said), 1, said)
                self.assertIn(f"report: '{self.out}/fifo' cannot be written", said[0])
                self.assertIn("traceEvents", json.loads(trace.read_text(encoding="utf-8")), "the other output is whole")

    def test_a_signal_is_answered_while_nobody_reads_the_report(self):
        """The run is over, and the report half written: more than the pipe holds."""
        path, reader = self.unread_fifo()
        process = self.start("linked_list", "--duration", "200ms", "--quiet", "--report", path)
        self.wait_for(process, lambda: len(os.read(reader, 100)) > 0 if readable(reader) else False)
        said = self.assert_answers(process, signal.SIGINT)
        self.assertEqual(len(said), 1, said)
        self.assertIn(f"report: '{path}' cannot be written", said[0])

    def test_a_second_signal_ends_the_writing_of_a_finished_run_at_once(self):
        path, reader = self.unread_fifo()
        process = self.start("linked_list", "--duration", "200ms", "--quiet", "--report", path)
        self.wait_for(process, lambda: readable(reader))
        self.assertEqual(self.assert_answers(process, signal.SIGINT, signal.SIGTERM), [])

    def test_a_signal_is_answered_while_nobody_opens_the_events(self):
        events, path = self.out / "fifo", self.out / "run.json"
        os.mkfifo(events)
        process = self.start("ballast", *SMALL, "--quiet", "--events", events, "--report", path)
        self.wait_for(process, lambda: "keel-signals" in threads_of(process.pid))
        said = self.assert_answers(process, signal.SIGINT)
        self.assertEqual(len(said), 1, said)
        self.assertIn(f"events: '{events}' cannot be written", said[0])
        self.assertIn("cannot be written", self.assert_valid(path, False)["events"]["log_error"])

    def test_a_reader_of_events_that_stalls_does_not_hold_up_a_signal(self):
        events, reader = self.unread_fifo()
        path = self.out / "run.json"
        process = self.start("ballast", "--live", "2MiB", "--duration", "60s", "--sample-interval", "1ms", "--quiet", "--gctrace", "--events", events,
                             "--report", path)
        # More than the pipe holds has been said, and the run goes on.
        for _ in range(50):
            self.wait_for(process, lambda: process.stderr.readline().startswith("gc "))
        self.assertTrue(readable(reader))
        said = self.assert_answers(process, signal.SIGINT)
        self.assertEqual(len(said), 1, said)
        self.assertIn(f"events: '{events}' cannot be written", said[0])
        report = self.assert_valid(path, False)
        self.assertEqual(report["run"]["signal"], signal.SIGINT)
        self.assertGreaterEqual(len(report["cycles"]), 50)
        self.assertGreater(report["events"]["log_dropped"], 50)

    def test_a_reader_of_events_that_stalls_does_not_stop_the_run(self):
        events, reader = self.unread_fifo()
        path = self.out / "run.json"
        done = self.run_program(*SMALL, "--sample-interval", "1ms", "--quiet", "--events", events, "--report", path)
        self.assert_told(done, "ballast", "events: ", str(events))
        report = self.assert_valid(path, True)
        got = os.read(reader, 1 << 20)
        self.assertGreater(report["events"]["log_dropped"], 0)
        self.assertIn(str(report["events"]["log_dropped"]), done.stderr)
        for line in got.splitlines()[:-1]:
            json.loads(line)

    def test_a_file_of_events_drops_none(self):
        events, path = self.out / "all", self.out / "run.json"
        done = self.run_program("--live", "1MiB", "--threads", "4", "--gogc", "10", "--duration", "1s", "--sample-interval", "1ms", "--quiet",
                                "--events", events, "--report", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = self.assert_valid(path, True)
        self.assertNotIn("log_dropped", report["events"])
        lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
        for kind, many in (("cycle", "cycles"), ("sample", "samples")):
            self.assertEqual([line[kind] for line in lines if kind in line], report[many])

    def test_an_error_is_one_line_whatever_the_arguments_hold(self):
        for arguments in (["--gogc", "5\n6"], ["stray\nword"], ["--report", f"{self.out}/no\nfolder/r"], ["--keys", f"{self.out}/no\r\nkeys"],
                          ["--collector", "\u2028\x85\x1b"]):
            with self.subTest(arguments=arguments):
                self.assert_refused(self.run_program(*arguments), "\\")
        for arguments in (["summary", f"{self.out}/no\nreport"], ["import", self.log, "--format", "a\nb"], ["import", self.log, "-o", f"{self.out}/a\nb/c"]):
            with self.subTest(arguments=arguments):
                self.assert_refused(self.run_program(*arguments, program="gcreport"), "\\n")

    def test_two_outputs_into_one_file_are_refused(self):
        (self.out / "link").symlink_to("run.json")
        (self.out / "folder").symlink_to(".")
        os.link(self.json, self.out / "second name")
        for first, second in (("--report", "--events"), ("--report", "--trace"), ("--events", "--trace")):
            for a, b in (("run.json", "run.json"), ("run.json", "./run.json"), ("run.json", "folder/run.json"), ("link", "run.json"),
                         ("report.json", "second name")):
                with self.subTest(options=[first, a, second, b]):
                    done = self.run_program(*SMALL, first, self.out / a, second, f"{self.out}/{b}")
                    self.assert_refused(done, first, second, "one file")
                    self.assertFalse((self.out / "run.json").exists())
        self.assert_refused(self.run_program(*SMALL, "--report", "-", "--events", self.stdout), "--report", "--events")

    def test_two_outputs_may_share_a_device(self):
        device = self.out / "null"
        try:
            os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
            device.open("wb").close()
        except PermissionError:
            self.skipTest("this user may not make devices")
        done = self.run_program(*SMALL, "--quiet", "--report", device, "--events", device)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_output_that_is_also_read_is_refused(self):
        (self.out / "link").symlink_to("report.json")
        for output in (self.json, self.out / "link"):
            for command in (["export", "--format", "csv", self.json], ["compare", self.json, "--vs", self.json]):
                self.assert_refused(self.run_program(*command, "-o", output, program="gcreport"), "-o", "what is read")
        self.assert_refused(self.run_program("import", self.log, "-o", self.log, program="gcreport"), "-o", "what is read")

    def test_what_cannot_be_read_is_refused_with_one_line(self):
        for command in (["import"], ["summary"], ["validate"], ["export", "--format", "csv"]):
            for path, word in ((self.out, "folder"), (self.out / "none", "No such file"), (self.log / "below", "Not a directory"),
                               ("/proc/self/mem", "Input/output error"), (f"{self.json}/", "Not a directory")):
                with self.subTest(command=command, path=str(path)):
                    self.assert_refused(self.run_program(*command, path, program="gcreport"), "gcreport: ", str(path), word)
        with open(self.log, encoding="ascii") as log:
            folder = os.open(self.out, os.O_RDONLY)
            try:
                self.assert_refused(self.run_program("import", "-", program="gcreport", stdin=folder), "standard input", "folder")
            finally:
                os.close(folder)
            self.assertEqual(self.run_program("import", "-", program="gcreport", stdin=log).returncode, 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
