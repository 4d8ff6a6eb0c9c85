#!/usr/bin/python3
"""The main job: the ballast experiment on Keel, Boehm without ballast beside it; reports, plots, one HTML page."""
import argparse
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import keelreport  # noqa: E402
from keelreport import GIB, MIB  # noqa: E402

BIN = ROOT / "build/release/bin"
OUT = ROOT / "out"
LIVE = 64 * MIB


def available_memory():
    """Bytes this process may still make resident: MemAvailable within the cgroup's limit."""
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
    available = fields["MemAvailable"]
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        if not line.startswith("0::"):
            continue
        folder = pathlib.Path("/sys/fs/cgroup" + line[3:])
        while str(folder).startswith("/sys/fs/cgroup"):
            try:
                limit = (folder / "memory.max").read_text(encoding="ascii").strip()
                if limit != "max":
                    used = int((folder / "memory.current").read_text(encoding="ascii"))
                    available = min(available, int(limit) - used)
            except OSError:
                pass
            folder = folder.parent
    return available


def fitting_ballast(wanted, gogc=100):
    """The largest ballast up to `wanted` whose garbage, (L + B) * GOGC / 100 with live data and a margin, fits."""
    budget = available_memory() * 0.85
    # Resident at the peak: live data and garbage up to the goal, (L + B) * g; the ballast itself is never touched.
    most = int((budget - 2 * LIVE) * 100 / gogc) - LIVE
    if wanted <= most:
        return wanted
    shrunk = most // (256 * MIB) * (256 * MIB)
    name = keelreport.size(wanted)
    if shrunk < wanted // 8 or shrunk <= 0:
        print(f"skipping ballast {name}: its garbage could make {name} resident, {budget / GIB:.1f} GiB may be used")
        return None
    print(f"shrinking ballast {name} to {keelreport.size(shrunk)}: {budget / GIB:.1f} GiB of memory may be used")
    return shrunk


def run_one(name, duration, *extra):
    report = OUT / f"{name}.json"
    command = [str(BIN / "ballast"), "--threads", "2", "--duration", f"{duration}s", "--report", str(report), *extra]
    print(f"  {name}: ballast {' '.join(command[1:-len(extra) or None])} {' '.join(extra)}".rstrip(), flush=True)
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        sys.exit(f"main_job.py: {name} ended with status {done.returncode}")
    return report


def law_table(reports):
    lines = [f"{'ballast':>9} {'n':>5} {'A/n':>10} {'g(M+S)':>10} {'ratio':>6} {'floating':>9} {'peak/goal':>9}"]
    for path in reports:
        report = keelreport.load(path)
        if report["collector"]["name"] != "keel":
            continue
        law = keelreport.law(report)
        name = keelreport.size(report["collector"]["ballast_bytes"])
        if law is None:
            lines.append(f"{name:>9}   fewer than two counted cycles")
            continue
        lines.append(f"{name:>9} {law['n']:>5} {law['allocated'] / law['n'] / MIB:>6.0f} MiB "
                     f"{(law['marked'] + law['roots']) / MIB:>6.0f} MiB {law['ratio']:>6.3f} "
                     f"{law['floating'] / MIB:>5.1f} MiB {law['peak_to_goal']:>9.3f}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds a run: to see that it works")
    quick = parser.parse_args().quick
    OUT.mkdir(exist_ok=True)
    begin = time.monotonic()
    reports = []
    print("running the ballast experiment")
    for name, wanted, seconds in (("off", 0, 15), ("64MiB", 64 * MIB, 15), ("1GiB", GIB, 25), ("10GiB", 10 * GIB, 45)):
        ballast = fitting_ballast(wanted) if wanted else 0
        if ballast is None:
            continue
        extra = ["--ballast", keelreport.size(ballast)] if ballast else []
        reports.append(run_one(f"keel-{name}", 3 if quick else seconds, *extra))
    if (BIN / "ballast-boehm").exists():
        reports.append(run_one("boehm", 3 if quick else 15, "--collector", "boehm"))
    else:
        print("skipping Boehm: libgc-dev was not there when Keel was built")

    paths = [str(r) for r in reports]
    subprocess.run([str(BIN / "gcreport"), "validate", *paths], check=True, stdout=subprocess.DEVNULL)
    plot = OUT / "lastgc.png"
    subprocess.run(["/usr/bin/python3", str(ROOT / "scripts/plot_lastgc.py"), *paths, "-o", str(plot)], check=True)
    summary = subprocess.run([str(BIN / "gcreport"), "summary", *paths], check=True, capture_output=True, text=True).stdout
    law = law_table(reports)
    (OUT / "law.txt").write_text(law + "\n", encoding="utf-8")
    # The runs differ in length, so they are matched by the workload's name; each against the run without a ballast.
    subprocess.run([str(BIN / "gcreport"), "compare", *paths, "--by", "label", "--anyway", "--html", "-o", str(OUT / "index.html")], check=True)
    print(f"\n{summary}\nthe law of the ballast: ratio = A/n / (g(M+S)), counted cycles only\n{law}\n")
    print(f"out/index.html, out/lastgc.png, out/law.txt and {len(reports)} reports written in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
