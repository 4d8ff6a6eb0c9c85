"""What scripts/torture runs: programs with flags drawn at random, small enough for seconds and a small machine.

A case follows from its number and the seed alone. Exit statuses that are answers rather than failures come with it.
"""
import random

MIB = 1 << 20
OUT_OF_MEMORY = 3
SOUND = [("hybrid", "stw"), ("hybrid", "handshake"), ("hybrid-conditional", "stw"), ("hybrid-conditional", "handshake"),
         ("dijkstra", "stw"), ("dijkstra", "handshake"), ("yuasa", "stw"), ("none", "stw")]


class Case:
    """One run: program and arguments without --report, the statuses it may end with, its limit in seconds."""

    def __init__(self, program, arguments, statuses, seconds):
        self.program = program
        self.arguments = [str(a) for a in arguments]
        self.statuses = statuses
        self.seconds = seconds


def log_uniform(rng, low, high):
    return int(min(high, low * (high / low) ** rng.random()))


def size(rng, low, high):
    return f"{log_uniform(rng, low, high)}B"


# Own flags of each workload; `each` is what one thread of many may have, in bytes.
def own_flags(name, rng, each):
    count = lambda bytes_each, low=16: max(low, log_uniform(rng, low, max(low + 1, each // bytes_each)))  # noqa: E731
    if name in ("ballast", "requests"):
        return ["--live", size(rng, MIB, 16 * MIB)]
    if name == "gogc":
        return ["--live", size(rng, MIB, 8 * MIB), "--percents", ",".join(rng.sample(["10", "50", "100", "400", "off"], 2)),
                "--off-allocates", "64MiB"]
    table = {
        "gcbench": lambda: ["--depth", rng.randint(6, 11)],
        "binary_trees": lambda: ["--depth", rng.randint(6, 12)],
        "graph_churn": lambda: ["--nodes", count(128), "--surgeries", log_uniform(rng, 1, 200)],
        "lru_cache": lambda: ["--entries", count(512), "--value-bytes", rng.randint(0, 2000)],
        "big_arrays": lambda: ["--elements", count(64), "--chunks", rng.randint(1, 8)],
        "linked_list": lambda: ["--nodes", count(256), "--node-bytes", log_uniform(rng, 24, 2000)],
        "size_mix": lambda: ["--slots", count(4096), "--most-bytes", log_uniform(rng, 64, 100_000)],
        "thread_churn": lambda: ["--entries", rng.randint(1, 60), "--objects", rng.randint(1, 300)],
        "phase_shift": lambda: ["--phases", f"80ms,{rng.randint(10, 200)}MiB,{rng.randint(1, 12)},{rng.randint(1, 10)};80ms,0B,2,5"],
        "channels": lambda: ["--capacity", rng.randint(0, 64), "--producers", rng.randint(1, 8), "--consumers", rng.randint(1, 8)],
        "strings": lambda: ["--pieces", rng.randint(1, 300), "--rounds", rng.randint(1, 3)],
        "maps": lambda: ["--entries", rng.randint(10, 4000), "--map", rng.choice(["go", "swiss"]), "--collections", 2],
        "mark_graph": lambda: ["--nodes", log_uniform(rng, 100, 200_000), "--collections", rng.randint(1, 6)],
        "finalizers": lambda: ["--tries", rng.randint(1, 500), "--objects", rng.randint(100, 5000), "--rounds", 1],
    }
    return table[name]() if name in table else []


BY_COUNT = {"gcbench", "binary_trees", "maps", "mark_graph", "finalizers", "pointer_kinds", "strings"}
NO_BALLAST = {"finalizers", "mark_graph", "pointer_kinds", "strings"}
ONE_THREAD = {"maps", "mark_graph", "finalizers", "pointer_kinds", "strings", "channels"}
NO_MALLOC = {"finalizers", "gogc", "graph_churn", "mark_graph", "pointer_kinds"}
WORKLOADS = ["ballast", "requests", "gcbench", "binary_trees", "graph_churn", "lru_cache", "big_arrays", "linked_list", "size_mix",
             "thread_churn", "phase_shift", "channels", "strings", "maps", "mark_graph", "finalizers", "pointer_kinds", "gogc"]


def keel_flags(name, rng, slow, threads):
    barrier, transitions = rng.choice(SOUND)
    flags = ["--barrier", barrier, "--transitions", transitions, "--roots", rng.choice(["conservative", "precise"])]
    limited = rng.random() < 0.25
    if name != "gogc":
        goal = rng.random()
        if goal < 0.1:
            flags += ["--goal", f"membalancer={0.001 * log_uniform(rng, 1, 1000):g}"]
        elif goal < 0.2:
            flags += ["--goal", "fixed=" + size(rng, MIB, 64 * MIB)]
        else:
            flags += ["--gogc", rng.choice(["1", "5", "25", "100", "400", "1000", *(["off"] if limited else [])])]
    if limited:
        flags += ["--memory-limit", size(rng, 12 * MIB, 256 * MIB)]
    # Without assists nothing bounds the heap of many threads but the collector's share of the cores.
    flags += ["--assists", rng.choice(["on", "on", "on", "off"]) if threads <= 8 else "on", "--huge-pages", rng.choice(["on", "off", "off"])]
    if rng.random() < 0.3:
        flags += ["--periodic", rng.choice(["1ms", "50ms", "400ms", "off"])]
    if rng.random() < 0.5:
        flags += ["--mark-workers", rng.randint(1, 6)]
    if rng.random() < 0.2:
        flags += ["--retain", rng.choice([0, 1, 50, 500])]
    debug = [d for d, p in (("checkmark", 0.2), ("walk", 0.2), ("poison", 0.3), ("leakcheck", 0.1)) if rng.random() < p]
    if rng.random() < 0.15:
        debug.append(f"stress={log_uniform(rng, 200 if slow else 50, 5000)}")
    if debug:
        flags += ["--debug", ",".join(debug)]
    if rng.random() < 0.1:
        flags += ["--finalize-at-exit", "100ms"]
    return flags, debug


def workload(name, rng, slow, programs):
    """A workload on Keel, Boehm or malloc, or its twin in Go."""
    seconds = rng.choice([1, 2, 3])
    threads = 1 if name in ONE_THREAD else log_uniform(rng, 1, 32 if slow else 256)
    if rng.random() < 0.6:
        threads = min(threads, rng.randint(1, 6))
    own = own_flags(name, rng, (96 * MIB) // threads // (8 if slow else 1))
    flags = [] if name in BY_COUNT else ["--duration", f"{seconds * 1000 // (2 if slow else 1)}ms"]
    flags += ["--seed", rng.randint(0, 1 << 31)]
    if name not in ONE_THREAD:
        flags += ["--threads", threads]
    statuses = {0}
    where = rng.random()
    if where < 0.08 and f"{name}-go" in programs:
        return Case(f"{name}-go", own_for_twin(own) + flags[:2] + ["--threads", min(threads, 8)] * (name not in ONE_THREAD), {0}, seconds)
    collector = "keel"
    if where < 0.18 and f"{name}-boehm" in programs and threads <= 64:
        collector = rng.choice(["boehm", "boehm", "boehm-incremental"])
    elif where < 0.25 and name not in NO_MALLOC:
        collector = "malloc"
    debug = []
    if collector == "keel":
        more, debug = keel_flags(name, rng, slow, threads)
        flags += more
    else:
        flags += ["--collector", collector]
    if collector != "malloc" and rng.random() < 0.12:
        flags += ["--max-heap", size(rng, 4 * MIB, 256 * MIB)]
        statuses = {0, OUT_OF_MEMORY}
    if name not in NO_BALLAST and rng.random() < 0.25:
        # Beside a ballast, up to GOGC per cent of it may become garbage: at the largest, little runs.
        most = {"keel": 1 << 40, "malloc": 1 << 30}.get(collector, 64 * MIB)
        if "checkmark" in debug:
            most = 1 << 28
        flags += ["--ballast", size(rng, MIB, most)]
        statuses = {0, OUT_OF_MEMORY}
    if rng.random() < 0.2:
        flags += ["--sample-interval", rng.choice(["1ms", "5ms", "100ms"])]
    return Case(name, own + flags, statuses, seconds)


def own_for_twin(own):
    """Flags a twin does not have are left out with their values."""
    foreign = {"--map", "--off-allocates", "--rounds", "--objects", "--depth"}
    kept = []
    for flag, value in zip(own[::2], own[1::2]):
        if flag not in foreign:
            kept += [flag, value]
    return kept


def torture(rng, slow, left_out):
    seconds = rng.choice([2, 3, 5])
    flags = ["--seed", rng.randint(0, 1 << 31), "--duration", f"{seconds}s"]
    if rng.random() < 0.1:
        flags += ["--threads", log_uniform(rng, 1, 24 if slow else 256)]
    if left_out:
        flags += ["--without", left_out]
    return Case("torture", flags, {0}, seconds)


def draw(seed, number, slow, programs, left_out="", torture_share=0.6):
    """Case `number` of a seed, of the programs that a build has."""
    rng = random.Random(f"{seed}/{number}")
    names = [name for name in WORKLOADS if name in programs]
    if not names or rng.random() < torture_share:
        return torture(rng, slow, left_out)
    return workload(rng.choice(names), rng, slow, programs)
