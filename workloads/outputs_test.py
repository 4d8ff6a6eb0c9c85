#!/usr/bin/python3
"""Where outputs go: links, devices, FIFOs and descriptors, for every program and tool that writes a file.

Run by ctest with KEEL_BIN set to the folder of the programs. Devices are made with mknod in a folder of the test's own,
never taken from /dev: a program that replaces what it should write through must not harm the machine.
"""
import functools
import os
import pathlib
import select
import shutil
import socket
import stat
import subprocess
import sys
import threading
import unittest

from cli_test import BIN, ROOT, SMALL, Cli

NOBODY = 65534


def every_writer(test):
    """Runs test(self, write, path, folder) for each of writers(), in a folder of its own."""
    @functools.wraps(test)
    def run(self):
        for number, (name, write) in enumerate(self.writers()):
            with self.subTest(writer=name):
                self.writer = name
                folder = self.out / str(number)
                folder.mkdir()
                # A plot goes by the end of the name.
                test(self, write, folder / "output.svg", folder)
    return run


class Outputs(Cli):
    def setUp(self):
        super().setUp()
        self.inputs = self.out / "inputs"
        self.inputs.mkdir()
        self.log = self.inputs / "log"
        self.log.write_text("gc 1 @0.012s 2%: 0.026+0.39+0.10 ms clock, 0.21+0.88/0.52/0.22+0.84 ms cpu, 4->4->0 MB, 5 MB goal, 8 P\n",
                            encoding="ascii")
        self.json = self.inputs / "report.json"
        self.assertEqual(self.run_program("import", self.log, "-o", self.json, program="gcreport").returncode, 0)
        self.events = self.inputs / "events"
        self.events.write_text('{"schema":"keel.events","schema_version":1}\n', encoding="ascii")

    def writers(self):
        """(name, function from a path to a finished process): everything that writes an output."""
        def program(*arguments, name):
            return lambda path, **options: self.run_program(*(path if a is None else a for a in arguments), program=name, **options)

        def script(*arguments, name):
            return lambda path, **options: subprocess.run(
                [str(ROOT / "scripts" / name), *(str(path if a is None else a) for a in arguments)], capture_output=True, text=True,
                timeout=120, check=False, **options)
        yield "gcreport import", program("import", self.log, "-o", None, name="gcreport")
        yield "gcreport export", program("export", self.json, "--format", "csv", "-o", None, name="gcreport")
        yield "gcreport compare", program("compare", self.json, "--vs", self.json, "--json", "-o", None, name="gcreport")
        for option in ("--report", "--trace", "--events"):
            yield f"ballast {option}", program(*SMALL, "--quiet", option, None, name="ballast")
        if (BIN / "ballast-go").exists():
            yield "ballast-go --report", program(*SMALL, "--quiet", "--report", None, name="ballast-go")
        yield "watch --page", script("--once", self.events, "--page", None, name="watch")
        if importlib_has("matplotlib"):
            yield "plot_pauses.py -o", script(self.json, "-o", None, name="plot_pauses.py")

    def assert_written(self, done, status=0):
        self.assertEqual(done.returncode, status, done.stderr)

    @every_writer
    def test_a_device_is_written_through_and_stays(self, write, path, folder):
        try:
            os.mknod(folder / "try", stat.S_IFCHR | 0o600, os.makedev(1, 3))
            (folder / "try").open("wb").close()
        except PermissionError:
            self.skipTest("this user may not make devices")
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # what /dev/null is
        self.assert_written(write(path))
        self.assertTrue(stat.S_ISCHR(path.lstat().st_mode), "the device is a device still")

    @every_writer
    def test_a_device_that_is_full_is_an_error_and_stays(self, write, path, folder):
        try:
            os.mknod(folder / "try", stat.S_IFCHR | 0o600, os.makedev(1, 7))
            (folder / "try").open("wb").close()
        except PermissionError:
            self.skipTest("this user may not make devices")
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 7))  # what /dev/full is
        done = write(path)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("no space left on device", done.stderr.lower())
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertTrue(stat.S_ISCHR(path.lstat().st_mode), "the device is a device still")

    @every_writer
    def test_a_fifo_is_written_through_and_stays(self, write, path, _):
        os.mkfifo(path)
        # Open before and after: some writers come more than once.
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        done, got = threading.Event(), bytearray()

        def read(reader=reader, done=done, got=got):
            while True:
                ended = done.is_set()
                try:
                    while select.select([reader], [], [], 0.05)[0] and (block := os.read(reader, 1 << 20)):
                        got.extend(block)
                except BlockingIOError:
                    pass
                if ended:
                    return
        thread = threading.Thread(target=read)
        thread.start()
        try:
            self.assert_written(write(path))
        finally:
            done.set()
            thread.join()
            os.close(reader)
        self.assertTrue(stat.S_ISFIFO(path.lstat().st_mode), "the FIFO is a FIFO still")
        self.assertGreater(len(got), 20)

    @every_writer
    def test_a_link_stays_and_its_target_is_written(self, write, path, folder):
        (folder / "elsewhere").mkdir()
        target = folder / "elsewhere" / "target"
        target.write_text("old", encoding="ascii")
        target.chmod(0o640)
        (folder / "middle").symlink_to("elsewhere/target")
        path.symlink_to(folder / "middle")
        self.assert_written(write(path))
        self.assertTrue(path.is_symlink() and (folder / "middle").is_symlink())
        self.assertGreater(target.stat().st_size, 20)
        self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o640, "the mode is kept")
        self.assertEqual(sorted(p.name for p in (folder / "elsewhere").iterdir()), ["target"])

    @every_writer
    def test_a_dangling_link_stays_and_its_target_is_made(self, write, path, folder):
        path.symlink_to("target")
        self.assert_written(write(path))
        self.assertTrue(path.is_symlink())
        self.assertGreater((folder / "target").stat().st_size, 20)

    @every_writer
    def test_a_target_on_another_file_system_is_renamed_there(self, write, path, _):
        other = pathlib.Path("/dev/shm")
        if not os.access(other, os.W_OK) or other.stat().st_dev == self.out.stat().st_dev:
            self.skipTest("no other file system to write to")
        target = other / f"keel-outputs-test-{os.getpid()}"
        target.write_text("old", encoding="ascii")
        path.symlink_to(target)
        before = target.stat()
        try:
            self.assert_written(write(path))
            self.assertTrue(path.is_symlink())
            self.assertGreater(target.stat().st_size, 20)
            self.assertEqual(target.stat().st_dev, before.st_dev)
        finally:
            target.unlink()

    @every_writer
    def test_a_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own(self, write, path, folder):
        self.assert_written(write(path, umask=0o027))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)
        path.chmod(0o604)
        self.assert_written(write(path, umask=0o077))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o604)
        self.assertEqual([p.name for p in folder.iterdir()], [path.name], "nothing else is left")

    @every_writer
    def test_what_cannot_be_written_is_refused_with_one_line(self, write, path, folder):
        path.symlink_to(path.name)
        self.assert_refused(write(path), str(path), "symbolic links")
        path.unlink()
        path.mkdir()
        self.assert_refused(write(path), str(path), "is a folder")
        path.rmdir()
        path.symlink_to("none/there")
        self.assert_refused(write(path), str(path), "no folder")
        path.unlink()
        self.assert_refused(write(folder / "none" / path.name), "no folder", "none")
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
            self.assert_refused(write(path), str(path), "socket")
        path.unlink()

    @every_writer
    def test_a_folder_or_a_file_that_one_may_not_write_is_refused(self, write, path, folder):
        if os.getuid() != 0:
            user = {}
        else:
            user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            tried = subprocess.run([str(BIN / "gcreport"), "--version"], capture_output=True, check=False, **user)
            if tried.returncode != 0:
                self.skipTest("another user may not start the programs")
        self.out.chmod(0o755)
        folder.chmod(0o555)
        self.assert_refused(write(path, **user), str(path), "no file can be put into the folder")
        folder.chmod(0o777)
        path.write_text("kept", encoding="ascii")
        path.chmod(0o444)
        self.assert_refused(write(path, **user), str(path), "ermission denied")
        self.assertEqual(path.read_text(encoding="ascii"), "kept")

    @every_writer
    def test_a_descriptor_is_written_at_its_own_offset(self, write, path, folder):
        if self.writer.startswith("plot"):
            return  # goes by the end of the name
        for name in ("/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}"):
            with open(folder / "shared", "w+b") as file:
                file.write(b"before\n")
                file.flush()
                self.assert_written(write(name.format(file.fileno()), pass_fds=[file.fileno()]))
                text = (folder / "shared").read_bytes()
                self.assertTrue(text.startswith(b"before\n"), text[:20])
                self.assertGreater(len(text), 27)
            self.assertFalse((folder / "shared").is_symlink())

    def test_a_command_in_the_place_of_a_file_gets_the_bytes(self):
        bash = shutil.which("bash")
        if bash is None:
            self.skipTest("no bash")
        (self.out / "stdout").symlink_to("/proc/self/fd/1")  # as /dev/stdout
        for command in (f"'{BIN}/gcreport' import '{self.log}' -o >(wc -c)", f"'{BIN}/ballast' {' '.join(SMALL)} --quiet --report >(wc -c)",
                        f"'{BIN}/ballast' {' '.join(SMALL)} --quiet --events >(wc -c)", f"'{BIN}/gcreport' import '{self.log}' -o '{self.out}/stdout' | wc -c"):
            with self.subTest(command=command):
                done = subprocess.run([bash, "-c", f"{command}; wait"], capture_output=True, text=True, timeout=120, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertGreater(int(done.stdout), 200, done.stderr)

    @every_writer
    def test_a_file_that_is_a_mount_point_is_written_through(self, write, path, folder):
        """As containers are given one: nothing can be renamed over it."""
        path.write_text("a", encoding="ascii")
        (folder / "given").write_text("old and long " * 1000, encoding="ascii")
        if subprocess.run(["mount", "--bind", str(folder / "given"), str(path)], capture_output=True, check=False).returncode != 0:
            self.skipTest("this user may not mount")
        try:
            self.assert_written(write(path))
            self.assertNotIn("old and long", path.read_text(encoding="utf-8"))
            self.assertGreater((folder / "given").stat().st_size, 20)
        finally:
            subprocess.run(["umount", str(path)], check=True)


def importlib_has(name):
    import importlib.util
    return importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    sys.exit(unittest.main())
