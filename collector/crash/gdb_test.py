#!/usr/bin/python3
"""scripts/keel_gdb.py on a small heap that stands still: every command, and what it must show."""
import pathlib
import re
import subprocess
import sys
import unittest

TARGET = sys.argv.pop(1)
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/keel_gdb.py"


class Gdb(unittest.TestCase):
    def ask(self, *commands):
        call = ["gdb", "-nx", "-batch", "-x", str(SCRIPT), "-ex", "set debuginfod enabled off", "-ex",
                "break keel_gdb::stand", "-ex", "run"]
        for command in commands:
            call += ["-ex", command]
        done = subprocess.run([*call, TARGET], capture_output=True, text=True, timeout=120, check=False)
        if "Operation not permitted" in done.stderr:
            self.skipTest("this machine does not let gdb trace a process")
        self.assertIn("Breakpoint 1, keel_gdb::stand", done.stdout, done.stderr)
        return done.stdout, done.stderr

    def test_heap_and_span(self):
        out, _ = self.ask("keel heap", "keel span first")
        self.assertRegex(out, r"cycle 2 completed, phase .*kOff")
        self.assertRegex(out, r"mutator 1 \(thread \d+\): running, pending 0")
        self.assertRegex(out, r"span \[0x[0-9a-f]+, 0x[0-9a-f]+\): 1 pages, 16 B a slot, one unit, Ptr in words 0 of 1")
        self.assertRegex(out, r"2 of \d+ slots live after the last sweep \(cycle 2; 2 cycles completed\)")
        self.assertRegex(out, r"allocated: ##\.")

    def test_object_shows_words_and_where_they_lead(self):
        out, _ = self.ask("keel object first", "keel object second->number")
        self.assertRegex(out, r"> word   0  0x[0-9a-f]+  -> object 0x[0-9a-f]+")
        out, _ = self.ask("keel object &second->number")
        self.assertRegex(out, r"byte 8 of it")
        self.assertRegex(out, r"> word   1  0x0000000000001267")

    def test_a_freed_object_is_poison(self):
        out, _ = self.ask("keel object freed", "keel object *(unsigned long*)freed")
        self.assertIn("allocation bit clear", out)
        self.assertIn("poison: the slot is free", out)
        self.assertIn("poison, read from 0x", out)

    def test_roots_have_their_places(self):
        out, _ = self.ask("keel roots")
        self.assertRegex(out, r"16 B a slot, one unit.* made at .*gdb_target.cc:\d+")
        self.assertIn("2 roots", out)

    def test_who_finds_heap_root_and_interior(self):
        out, _ = self.ask("keel who second", "keel who first")
        self.assertRegex(out, r"object 0x[0-9a-f]+ \(16 B a slot, one unit, .*\), word 0")
        self.assertRegex(out, r"object 0x[0-9a-f]+ \(163840 B a slot, all pointers\), word 12345")
        self.assertRegex(out, r"root at 0x[0-9a-f]+, made at .*gdb_target.cc:\d+")

    def test_what_is_no_object_gets_a_line(self):
        _, errors = self.ask("keel object 16", "keel nonsense", "keel who")
        self.assertIn("keel: 0x10 is not in the heap", errors)
        self.assertIn("keel: 'nonsense' is not one of heap, object, span, roots, who", errors)
        self.assertIn("keel: an address is needed", errors)


if __name__ == "__main__":
    unittest.main()
