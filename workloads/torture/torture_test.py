#!/usr/bin/python3
"""torture as a user meets it. Run by ctest with KEEL_BIN set, in the frame of cli_test.py."""
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from cli_test import BIN, Cli  # noqa: E402 (the frame lies one folder up)


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
