#!/usr/bin/python3
"""The comparison page in headless Chromium: no console error, the reports' own numbers, 100,000 pauses.

Run by ctest with KEEL_BIN set to the folder of the programs. Keeps a screenshot beside them (page_test.png).
"""
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(os.environ["KEEL_BIN"])
ROOT = pathlib.Path(__file__).resolve().parent.parent
SMALL = ["--live", "8MiB", "--threads", "2", "--operations", "60000", "--quiet"]


class Cells(html.parser.HTMLParser):
    """{fact: [values of its cells]} and the body's data attributes."""

    def __init__(self):
        super().__init__()
        self.facts, self.body, self.row = {}, {}, None

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "body":
            self.body = attributes
        if tag == "tr":
            self.row = attributes.get("data-fact")
        if tag == "td" and self.row and "data-value" in attributes:
            self.facts.setdefault(self.row, []).append(float(attributes["data-value"]))


class Page(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name)
        self.chromium = shutil.which("chromium")
        self.assertIsNotNone(self.chromium, "chromium is not installed")

    def browser(self, page, *arguments):
        done = subprocess.run(
            [self.chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
             f"--user-data-dir={self.out}/profile", "--virtual-time-budget=60000", "--window-size=1250,2400", *arguments,
             page.as_uri()], capture_output=True, text=True, timeout=240, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        self.assertEqual(console, [], "the page is silent")
        return done.stdout

    def load(self, page):
        cells = Cells()
        cells.feed(self.browser(page, "--dump-dom"))
        self.assertEqual(cells.body.get("data-ready"), "1", "the script ran to its end")
        return cells

    def compare(self, *arguments):
        page = self.out / "page.html"
        subprocess.run([BIN / "gcreport", "compare", *arguments, "--html", "-o", page], check=True)
        return page

    def run_ballast(self, name, *extra):
        path = self.out / f"{name}.json"
        subprocess.run([BIN / "ballast", *SMALL, *extra, "--report", path], check=True)
        return path

    def test_numbers_are_the_reports_and_the_console_is_silent(self):
        off, on = self.run_ballast("off"), self.run_ballast("on", "--ballast", "64MiB")
        page = self.compare(off, "--vs", on)
        text = page.read_text(encoding="utf-8")
        self.assertIsNone(re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text), "nothing is fetched")
        cells = self.load(page)
        reports = [json.loads(p.read_text(encoding="utf-8")) for p in (off, on)]
        for side, report in enumerate(reports):
            stops = [p["duration_ns"] for p in report["pauses"] if p["kind"].endswith("_termination")]
            self.assertEqual(cells.facts["world stops"][side], len(stops))
            self.assertEqual(cells.facts["world stop, max"][side], max(stops))
            self.assertEqual(cells.facts["collections"][side], len(report["cycles"]))
            self.assertEqual(cells.facts["request, p99"][side], report["latency"]["simple"]["p99_ns"])
            self.assertEqual(cells.facts["peak resident"][side], report["run"]["peak_rss_bytes"])
        self.assertEqual(int(cells.body["data-pauses"]), sum(len(r["pauses"]) for r in reports))
        self.assertEqual(cells.body["data-charts"], "5")
        screenshot = BIN / "page_test.png"
        self.browser(page, f"--screenshot={screenshot}")
        self.assertTrue(screenshot.read_bytes().startswith(b"\x89PNG"))
        self.assertGreater(screenshot.stat().st_size, 50_000, "more than a blank page")

    def test_imported_runs_stand_beside_each_other(self):
        paths = []
        for name in ("jdk17-G1-pressure.log", "jdk17-Z-pressure.log"):
            path = self.out / f"{name}.json"
            subprocess.run([BIN / "gcreport", "import", ROOT / "reports/import/samples" / name, "-o", path], check=True,
                           capture_output=True)
            paths.append(path)
        cells = self.load(self.compare(paths[0], "--vs", paths[1]))
        self.assertEqual(cells.facts["allocation stalls"], [23.0])

    def test_a_hundred_thousand_pauses(self):
        report = json.loads(self.run_ballast("many").read_text(encoding="utf-8"))
        report["pauses"] = [p for p in report["pauses"] if p["kind"].endswith("_termination")]
        wall = report["run"]["wall_ns"]
        report["pauses"] += [{"kind": "assist", "begin_ns": i * wall // 100_000, "duration_ns": 1000 + i % 977, "thread": 2}
                             for i in range(100_000)]
        path = self.out / "hundred.json"
        path.write_text(json.dumps(report), encoding="utf-8")
        cells = self.load(self.compare(path, "--vs", path))
        self.assertEqual(int(cells.body["data-pauses"]), 2 * len(report["pauses"]))

    def test_the_live_page_is_silent_too(self):
        page = self.out / "live.html"
        log = (ROOT / "reports/import/samples/gctrace-go1.24.0.txt").read_text(encoding="utf-8")
        subprocess.run([ROOT / "scripts/watch", "--gctrace", "--page", page], input=log, text=True, check=True, capture_output=True)
        # It reloads itself every two seconds, for ever: not under a clock that runs ahead.
        page.write_text(page.read_text(encoding="utf-8").replace('<meta http-equiv="refresh" content="2">', ""), encoding="utf-8")
        text = self.browser(page, "--dump-dom")
        self.assertIn('data-ready="1"', text)
        self.assertIn("dygraph-axis-label", text, "the charts are drawn")
        self.assertIn("19 collections", text)

    def test_names_from_reports_cannot_break_the_page(self):
        report = json.loads(self.run_ballast("evil").read_text(encoding="utf-8"))
        report["workload"]["name"] = "</script><script>console.error('out')</script><b>&\"'"
        path = self.out / "evil.json"
        path.write_text(json.dumps(report), encoding="utf-8")
        self.load(self.compare(path, "--vs", path))


if __name__ == "__main__":
    sys.exit(unittest.main())
