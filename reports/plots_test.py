#!/usr/bin/python3
"""Every plot script on every kind of report: Keel's own, another collector's, imported logs; and on what is none.

Run by ctest with KEEL_BIN set to the folder of the programs.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(os.environ["KEEL_BIN"])
ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "reports/import/samples"
SCRIPTS = sorted((ROOT / "scripts").glob("plot_*.py"))
SMALL = ["--live", "8MiB", "--threads", "2", "--operations", "60000", "--quiet"]


class Plots(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.out = pathlib.Path(cls.folder.name)
        cls.keel = []
        for name, extra in (("one", []), ("two", ["--ballast", "64MiB"]), ("workers", ["--mark-workers", "1"]),
                            ("yuasa", ["--barrier", "yuasa"])):
            path = cls.out / f"{name}.json"
            subprocess.run([BIN / "ballast", *SMALL, *extra, "--report", path], check=True)
            cls.keel.append(path)
        cls.malloc = cls.out / "malloc.json"
        subprocess.run([BIN / "ballast", *SMALL, "--collector", "malloc", "--report", cls.malloc], check=True)
        cls.imported = {}
        for sample in SAMPLES.iterdir():
            path = cls.out / f"{sample.name}.json"
            subprocess.run([BIN / "gcreport", "import", sample, "-o", path], check=True, capture_output=True)
            cls.imported[sample.name] = path

    def plot(self, script, *arguments):
        return subprocess.run([str(script), *map(str, arguments)], capture_output=True, text=True, check=False)

    def assert_drawn(self, script, *reports):
        for suffix, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
            target = self.out / (script.stem + suffix)
            done = self.plot(script, *reports, "-o", target)
            self.assertEqual(done.returncode, 0, f"{script.name}: {done.stderr}")
            self.assertEqual(done.stderr, "", script.name)
            self.assertTrue(target.read_bytes().startswith(magic))

    def test_all_draw_keels_own_reports(self):
        self.assertGreaterEqual(len(SCRIPTS), 11)
        for script in SCRIPTS:
            with self.subTest(script.name):
                self.assert_drawn(script, *self.keel)

    def test_imported_logs_are_drawn_where_they_hold_what_the_figure_needs(self):
        go = [p for name, p in self.imported.items() if name.startswith("gctrace")]
        jvm = [p for name, p in self.imported.items() if name.startswith("jdk")]
        for script, reports in (("pauses", go + jvm), ("heap", go + jvm), ("mmu", go + jvm), ("lastgc", go), ("pacer", go), ("cpu", go)):
            with self.subTest(script):
                self.assert_drawn(ROOT / f"scripts/plot_{script}.py", *reports)

    def test_what_cannot_be_drawn_gets_one_line(self):
        (self.out / "empty.json").write_text("", encoding="utf-8")
        (self.out / "other.json").write_text('{"schema": "something"}', encoding="utf-8")
        hollow = json.loads(self.keel[0].read_text(encoding="utf-8"))
        for key in ("cycles", "pauses", "samples", "pause_totals"):
            hollow[key] = []
        for key in ("mmu", "latency"):
            hollow[key] = {} if key == "latency" else []
        hollow["run"].pop("operations")
        (self.out / "hollow.json").write_text(json.dumps(hollow), encoding="utf-8")
        broken = json.loads(self.keel[0].read_text(encoding="utf-8"))
        for key in ("cycles", "pauses", "samples", "mmu", "latency", "run", "collector"):
            broken[key] = 17
        (self.out / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
        for script in SCRIPTS:
            for bad in ("empty.json", "other.json", "hollow.json", "broken.json", "absent.json"):
                with self.subTest(script=script.name, bad=bad):
                    done = self.plot(script, self.out / bad, "-o", self.out / "bad.png")
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
                    self.assertIn(bad, done.stderr)
                    self.assertFalse((self.out / "bad.png").exists())

    def test_an_html_page_holds_the_figure_and_needs_nothing_else(self):
        target = self.out / "page.html"
        done = self.plot(ROOT / "scripts/plot_mmu.py", self.keel[0], "-o", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = target.read_text(encoding="utf-8")
        self.assertIn("<svg", text)
        self.assertNotRegex(text, r"(src|href)\s*=\s*[\"']https?:")
        self.assertEqual(self.plot(ROOT / "scripts/plot_mmu.py", self.keel[0], "-o", self.out / "x.gif").returncode, 2)

    def test_svg_holds_units_and_the_number_of_runs(self):
        sys.path.insert(0, str(ROOT / "scripts"))
        target = self.out / "text.svg"
        environment = {**os.environ, "MPLCONFIGDIR": str(self.out)}
        (self.out / "matplotlibrc").write_text("svg.fonttype: none\n", encoding="utf-8")
        subprocess.run([str(ROOT / "scripts/plot_pauses.py"), *map(str, self.keel), "-o", str(target)], check=True, env=environment)
        text = target.read_text(encoding="utf-8")
        for words in ("pause (ms)", "time (s)", "n = 4 runs", "commit"):
            self.assertIn(words, text)


if __name__ == "__main__":
    sys.exit(unittest.main())
