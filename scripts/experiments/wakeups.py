#!/usr/bin/python3
"""How soon a thread gets its core: the table of docs/loaded.md that the collector's time slices rest on.

On one core: a process that sleeps 1 ms at a time and then works for a while, beside loops that only compute. Shown is how late it
woke. The loops or the sleeper ask for time slices of another length (sched_setattr(2), Linux 6.12 and later; an older kernel ignores it,
which the head says), or the loop is of class SCHED_IDLE. With /proc/sys/kernel/sched_autogroup_enabled at 1 nice values and SCHED_IDLE count
within one session only: all here are of one.
"""
import argparse
import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time

SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
KEEP_POLICY = 8  # SCHED_FLAG_KEEP_POLICY


class Attributes(ctypes.Structure):
    """struct sched_attr of the kernel, version 0; runtime is the slice of a normal thread."""
    _fields_ = [("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
                ("priority", ctypes.c_uint32), ("runtime_ns", ctypes.c_uint64), ("deadline_ns", ctypes.c_uint64), ("period_ns", ctypes.c_uint64)]


def ask_for_slice(ns):
    attributes = Attributes(size=ctypes.sizeof(Attributes), flags=KEEP_POLICY, runtime_ns=ns)
    return SYS_SCHED_SETATTR is not None and ctypes.CDLL(None).syscall(SYS_SCHED_SETATTR, 0, ctypes.byref(attributes), 0) == 0


def knows_slices():
    version = platform.release().split(".")
    return (int(version[0]), int(version[1].split("-")[0])) >= (6, 12)


def prepare(core, slice_ns, idle):
    os.sched_setaffinity(0, {core})
    if idle:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if slice_ns and not ask_for_slice(slice_ns):
        sys.exit("wakeups.py: this system knows no time slices")


def loop():
    parent = os.getppid()
    while os.getppid() == parent:
        for _ in range(100000):
            pass


def sleeper(seconds, works_ns):
    late = []
    end = time.monotonic_ns() + seconds * 10**9
    while (now := time.monotonic_ns()) < end:
        time.sleep(0.001)
        woken = time.monotonic_ns()
        late.append(woken - now - 1_000_000)
        while time.monotonic_ns() - woken < works_ns:
            pass
    print(json.dumps(late))


# (what is shown, loops, their class SCHED_IDLE, their slice, what the sleeper works in us, its slice)
ROWS = [("one loop of class SCHED_IDLE", 1, True, 0, 0, 0),
        ("one loop, slice 3 ms (default)", 1, False, 0, 0, 0),
        ("one loop, slice 100 ms (idle marking)", 1, False, 100_000_000, 0, 0),
        ("two loops, the sleeper works 0.3 ms, slice 3 ms (default)", 2, False, 0, 300, 0),
        ("two loops, the sleeper works 0.3 ms, slice 0.1 ms (cycle thread, workers' share)", 2, False, 0, 300, 100_000)]


def start(role, core, slice_ns, idle, *more):
    command = [sys.executable, __file__, "--role", ",".join(map(str, (role, core, slice_ns, int(idle), *more)))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def play(role):
    kind, core, slice_ns, idle, *more = role.split(",")
    prepare(int(core), int(slice_ns), int(idle))
    if kind == "loop":
        loop()
    else:
        sleeper(int(more[0]), int(more[1]) * 1000)


def measure(row, core, seconds):
    _, loops, idle, loop_slice, works, slice_ns = row
    started = [start("loop", core, loop_slice, idle) for _ in range(loops)]
    try:
        time.sleep(0.3)
        asleep = start("sleeper", core, slice_ns, False, seconds, works)
        late = sorted(json.loads(asleep.communicate()[0]))
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()
    return [late[min(len(late) - 1, int(q * len(late)))] / 1e6 for q in (0.5, 0.9, 0.99, 0.999)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="for each row [5]")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)), help="on which all run")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        play(arguments.role)
        return
    if arguments.core not in os.sched_getaffinity(0) or not 1 <= arguments.seconds <= 3600:
        sys.exit("wakeups.py: --core must be one this process may use, --seconds in [1, 3600]")
    print(f"Linux {platform.release()}, core {arguments.core}, {arguments.seconds} s a row; load average {os.getloadavg()[0]:.1f}; "
          f"time slices can{'' if knows_slices() else 'not'} be asked for\n")
    print("| beside | late by, p50 | p90 | p99 | p99.9 |\n|---|---|---|---|---|")
    for row in ROWS:
        late = measure(row, arguments.core, arguments.seconds)
        print(f"| {row[0]} | " + " | ".join(f"{ms:.2f} ms" for ms in late) + " |", flush=True)


if __name__ == "__main__":
    main()
