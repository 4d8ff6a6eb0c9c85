#!/usr/bin/python3
"""torture as a user meets it. Run by ctest with KEEL_BIN set, in the frame of cli_test.py."""
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from cli_test import BIN, Cli  # noqa: E402 (the frame lies one folder up)


class Explored(Cli):
    """In the explore build: one run under a schedule that follows from the seed."""

    def explore(self, seed, *arguments, **environment):
        return self.run_program("--explore", seed, "--operations", 40, *arguments, program="torture",
                                env={**os.environ, **environment})

    def test_the_same_seed_is_the_same_run(self):
        traces = []
        for seed in range(1, 13):
            with self.subTest(seed=seed):
                one, other = self.explore(seed), self.explore(seed)
                self.assertEqual(one.returncode, 0, one.stderr)
                self.assertRegex(one.stdout, r"explore: \w+, seed \d+: \d+ points, .* trace [0-9a-f]{16}\n")
                self.assertEqual(one.stdout, other.stdout)
                traces.append(one.stdout[-17:])
        self.assertEqual(len(set(traces)), len(traces))

    def test_a_lost_object_ends_it_with_everybodys_place_and_the_command_that_repeats_it(self):
        found = self.explore(1, KEEL_DEFECT="marked_object_freed")
        self.assertEqual(found.returncode, 9, found.stderr)
        for words in ("FAULT", "explore: found: ", "thread 0 'torture'", "'keel-cycle'",
                      "--explore 1 --operations 40 --seed 1"):
            self.assertIn(words, found.stderr)

    def test_what_does_not_apply_is_refused(self):
        for flag, value in (("--report", "r.json"), ("--duration", "1s"), ("--roots", "conservative")):
            self.assert_refused(self.run_program("--explore", 1, flag, value, program="torture"), flag, "--explore")


class Torture(Cli):
    def torture(self, *arguments, **options):
        return self.report_of(*arguments, program="torture", **options)

    def test_it_passes_and_says_what_it_did(self):
        for seed in (1, 2, 3, 4):
            with self.subTest(seed=seed):
                report = self.torture("--seed", seed, "--operations", 4000, "--threads", 2, "--giant", "4MiB")
                results = report["results"]
                self.assertTrue(report["workload"]["self_check"]["passed"])
                self.assertEqual(sum(results["actions"].values()), 4000)
                self.assertEqual(report["run"]["operations"], 4000)
                self.assertGreater(results["objects_checked"], 1000)
                self.assertGreater(results["looks_at_everything"], 0)
                self.assertIn(f"--barrier {report['collector']['barrier']} ", results["drawn"])

    def test_the_same_seed_does_the_same(self):
        one, other = (self.torture("--seed", 5, "--operations", 3000, "--threads", 3, "--giant", "1MiB")
                      for _ in range(2))
        for key in ("drawn", "action_digests", "actions"):
            self.assertEqual(one["results"][key], other["results"][key])

    def test_a_given_flag_holds_and_the_rest_is_drawn_as_before(self):
        free = self.torture("--seed", 8, "--operations", 10)["results"]["drawn"].split(" --")
        held = self.torture("--seed", 8, "--operations", 10, "--gogc", "77")["results"]["drawn"].split(" --")
        self.assertIn("gogc 77", held)
        self.assertEqual([flag for flag in free if not flag.startswith(("gogc", "goal"))],
                         [flag for flag in held if not flag.startswith(("gogc", "goal"))])

    def test_out_of_memory_is_an_answer_under_a_hard_limit(self):
        report = self.torture("--seed", 1, "--operations", 6000, "--threads", 2, "--live", "8MiB", "--max-heap", "2MiB",
                              "--giant", "4MiB")
        self.assertGreater(report["results"]["out_of_memory"], 0)

    def test_bad_input_is_refused_in_one_line(self):
        for arguments, words in ((("--collector", "malloc"), ("collector", "malloc")),
                                 (("--warmup", "1s"), ("--warmup",)),
                                 (("--seed", 1 << 63), ("--seed", "[0, 9223372036854775807]")),
                                 (("--explore", 1), ("--explore", "not an explore build")),
                                 (("--without", "sleep"), ("--without", "'sleep'", "fork")),
                                 (("--giant", "2GiB"), ("--giant", "2GiB", "1GiB"))):
            with self.subTest(arguments=arguments):
                self.assert_refused(self.run_program(*arguments, program="torture"), *words)

    def test_interruption_leaves_a_valid_incomplete_report(self):
        path = self.out / "report.json"
        child = subprocess.Popen([str(BIN / "torture"), "--seed", "6", "--duration", "60s", "--report", str(path),
                                  "--events", str(self.out / "events")], stderr=subprocess.DEVNULL)
        while not (self.out / "events").exists() or (self.out / "events").stat().st_size < 4000:
            self.assertIsNone(child.poll())
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(60), 130)
        valid = self.run_program("validate", path, program="gcreport")
        self.assertEqual(valid.returncode, 0, valid.stdout)
        self.assertIn('"complete": false', path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(unittest.main())
