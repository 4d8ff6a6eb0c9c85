#!/usr/bin/python3
"""The main job: the ballast experiment on Keel, Boehm without ballast beside it; reports, plots, one HTML page."""
import argparse
import base64
import html
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


def write_page(summary, law, plots):
    images = "\n".join(
        f'<figure><img alt="{html.escape(p.stem)}" src="data:image/png;base64,'
        f'{base64.b64encode(p.read_bytes()).decode()}"></figure>' for p in plots)
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Keel: the ballast experiment</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}}
pre{{background:#f6f6f6;padding:1rem;overflow-x:auto;font-size:13px}}img{{max-width:100%}}figure{{margin:1rem 0}}</style>
<h1>Keel: the ballast experiment</h1>
<p>A store serves requests on two mutators, with and without one huge untouched object on its heap. Cycles fall as
L / (L + B); the price is garbage that stays resident between collections.</p>
{images}
<h2>Side by side</h2><pre>{html.escape(summary)}</pre>
<h2>The law of the ballast</h2>
<p>A/n: bytes allocated per cycle; M: marked bytes, S: stacks and roots, g = GOGC/100. The ratio is A/n / (g(M+S)).</p>
<pre>{html.escape(law)}</pre></html>
"""
    (OUT / "index.html").write_text(page, encoding="utf-8")


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
    write_page(summary, law, [plot])
    print(f"\n{summary}\nthe law of the ballast: ratio = A/n / (g(M+S)), counted cycles only\n{law}\n")
    print(f"out/index.html, out/lastgc.png and {len(reports)} reports written in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
