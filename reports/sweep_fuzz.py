#!/usr/bin/python3
"""The sweep's reader against files that nobody would write: mutations of good experiments, from a printed seed.

  reports/sweep_fuzz.py [--seconds S | --executions N] [--seed N] [--first N]

Any file either is refused in one line (BadExperiment) or makes an experiment that can be planned and whose commands can be
made. Nothing else is accepted: no other exception, no plan above the sweep's own bound, no memory out of proportion. Prints
executions; a file that fails is kept in out/fuzz/sweep-file and the command that repeats it printed; status 1.
"""
import argparse
import importlib.machinery
import importlib.util
import pathlib
import random
import resource
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

GOOD = """name = "lbo"
invocations = 2
seed = 7
timeout = 60.5
[heap]
range = 6.0
points = 5
spread = 1.0
lowest = 1
highest = 512
tolerance = 0.02
attempts = 3
[[workload]]
program = "requests"
name = "small"
args = ["--operations", "200000"]
[[config]]
name = "keel"
args = ["--collector", "keel"]
env = { GOGC = "100" }
[[config]]
name = "g1"
kind = "java"
command = ["java", "-Xlog:gc*:file={log}", "-jar", "{workload}.jar"]
minheap_of = "keel"
""", """out = "elsewhere"
[heap]
multiples = [1.0, 2.0, 1.5]
[[workload]]
program = "a"
[[config]]
name = "m"
kind = "unlimited"
[[config]]
name = "go"
kind = "go"
command = ["{bin}/x", "{heap_mib}", "{{"]
"""
VALUES = ("0", "-1", "1", "1e308", "nan", "inf", "-inf", "true", '""', '"\\u0000"', '"/"', '".."', '"{"', '"{0}"', '"{heap_mib:>9999999}"',
          '"{log.x}"', '"{x}"', "[]", "[[]]", "{}", "{a = 1}", "1979-05-27", "07:32:00", "9223372036854775807", "1" * 400, '"' + "x" * 300 + '"',
          "[1, 2]", '["a"]', '[""]', "[nan]", "0x7fffffff", "1025", "1000", '"=“”"', "[" * 60 + "]" * 60, "[" * 3000)


def load_sweep():
    loader = importlib.machinery.SourceFileLoader("sweep", str(ROOT / "scripts/sweep"))
    spec = importlib.util.spec_from_loader("sweep", loader)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def mutated(chance):
    """A file: a good one with some of its values, keys, lines or bytes changed."""
    lines = chance.choice(GOOD).splitlines()
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(lines))
        kind = chance.randrange(8)
        if kind <= 2 and "=" in lines[at]:
            lines[at] = lines[at].split("=")[0] + "= " + chance.choice(VALUES)
        elif kind == 3:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif kind == 4 and len(lines) > 1:
            del lines[at]
        elif kind == 5 and "=" in lines[at]:
            lines[at] = chance.choice(lines).split("=")[0] + "=" + lines[at].split("=", 1)[1]
        elif kind == 6:
            lines[at] = chance.choice(("[heap]", "[[heap]]", "[workload]", "[[config]]", "workload = 3", "config = [1]", "heap = 1", "env = 5", "x = 1", "[a.b]"))
        elif lines[at]:
            line = list(lines[at])
            line[chance.randrange(len(line))] = chr(chance.choice((chance.randrange(128), chance.randrange(0x11000))))
            lines[at] = "".join(line)
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        data = bytearray(data)
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def read(sweep, path):
    """True if the file was accepted. Raises what it should not."""
    try:
        experiment = sweep.Experiment(path)
    except sweep.BadExperiment as error:
        if not str(error) or "\n" in str(error) or len(str(error)) > 1000:
            raise AssertionError(f"refused in other than one line: {str(error)[:300]!r}") from error
        return False
    minheap = {w["name"]: {c["name"]: 37 for c in experiment.configs} for w in experiment.workloads}
    if len(experiment.workloads) * len(experiment.configs) * experiment.invocations <= 2000:
        runs = sweep.plan(experiment, minheap)
        if len({run["id"] for run in runs}) != len(runs):
            raise AssertionError("two runs have one id")
    for workload in experiment.workloads:
        for config in experiment.configs:
            command, environment = sweep.command_of(experiment, workload, config, 37, pathlib.Path("r"), pathlib.Path("l"))
            if any("\0" in word for word in command) or any("\0" in k + v for k, v in environment.items()):
                raise AssertionError("a zero byte in a command")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="how long")
    parser.add_argument("--executions", type=int, default=1000, help="how many files [1000]")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file, as a failure's command has it")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    sweep = load_sweep()
    # More than this for a file of a few kilobytes is out of proportion.
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    begin, number, accepted = time.monotonic(), options.first, 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "experiment.toml"
        while (time.monotonic() - begin < options.seconds) if options.seconds else (number - options.first < options.executions):
            data = mutated(random.Random(f"{options.seed}/{number}"))
            path.write_bytes(data)
            before = time.monotonic()
            try:
                accepted += read(sweep, path)
                if time.monotonic() - before > 10:
                    raise AssertionError("took more than 10 s")
            except Exception:  # pylint: disable=broad-except
                kept = ROOT / "out/fuzz/sweep-file" / f"{options.seed}-{number}.toml"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(data)
                traceback.print_exc(limit=-4)
                print(f"FAILED: {kept}\nrepeat: reports/sweep_fuzz.py --seed {options.seed} --first {number} --executions 1")
                return 1
            number += 1
    print(f"{number - options.first} executions, {accepted} accepted, {time.monotonic() - begin:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
