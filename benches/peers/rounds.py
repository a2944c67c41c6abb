"""Interleaved rounds of two processes that speak the protocol of `worker.py`."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Rounding alone moves losses, and the steps of some networks amplify it: where both sides differ by more than this,
# up to twice what rounding does to the peer's is allowed.
LOSS_TOLERANCE = 1e-3
HEADER = "CPU ms | CPU ratio | of best rounds | wall ms | wall ratio | target | peak MB | peak ratio | loss difference"
TARGETS = {"train": 0.75, "forward": 0.55}
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
READING = [
    "**Bold** are the ratios to read: both on one thread, that of wall times on two, where PyTorch's threads spin",
    "while they wait for each other, which counts as processor time.",
]


def interpreter(folder):
    """A Python that has torch."""
    given = os.environ.get("EINTHOVEN_PEER_PYTHON")
    if given:
        return given
    print("installing torch into an environment that is thrown away", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    install(python)
    return python


def install(python):
    """Installs torch and numpy; the default index has torch with gigabytes of CUDA, so it is asked last."""
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "numpy"], check=True)
    if subprocess.run([*pip, "--retries", "1", "--timeout", "20", "--index-url", CPU_INDEX, "torch"]).returncode != 0:
        print(f"{CPU_INDEX} gave no torch: installing that of the default index, with CUDA", file=sys.stderr)
        subprocess.run([*pip, "torch"], check=True)


def example(name, given, folder):
    """A copy of an example of the library, so that a build in the meantime does not change what is measured.

    It is built unless it is given.
    """
    if not given:
        # Cargo runs in another folder, from which a relative path would lead elsewhere.
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
        build = ["cargo", "build", "--release", "--target-dir", target, "--example", name]
        subprocess.run(build, cwd=ROOT, check=True)
        given = target / "release" / "examples" / name
    copy = pathlib.Path(folder) / name
    copy.write_bytes(pathlib.Path(given).read_bytes())
    copy.chmod(0o755)
    return copy


class Worker:
    """A process that answers a number of calls with their time."""

    def __init__(self, command, threads):
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(map(str, self.process.args))} ended with {self.process.wait()}")
        return json.loads(line)

    def measure(self, calls):
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        last = self.read()
        self.process.wait()
        return last


def compare(ours, peer, threads, rounds, seconds):
    """Interleaved rounds of both workers; a peer of None is left out."""
    sides = {"einthoven": ours} | ({"peer": peer} if peer else {})
    workers = {side: Worker([str(word) for word in command], threads) for side, command in sides.items()}
    probe = {side: worker.measure(1)["cpu_ms"] for side, worker in workers.items()}
    calls = {side: max(1, min(1000, round(seconds * 1e3 / max(ms, 1e-3)))) for side, ms in probe.items()}
    times = {side: [] for side in workers}
    for _ in range(rounds):
        for side, worker in workers.items():
            times[side].append(worker.measure(calls[side]))
    out = {"threads": threads, "rounds": rounds}
    for side, worker in workers.items():
        end = worker.close()
        out[side] = {
            "engine": worker.first["engine"],
            "values": worker.first["values"],
            "calls_per_round": calls[side],
            "peak_above_idle_mib": end["peak_kib"] / 1024,
            "idle_mib": end["idle_kib"] / 1024,
        }
        for key in ["cpu_ms", "wall_ms"]:
            found = [t[key] for t in times[side]]
            out[side][key] = statistics.median(found)
            out[side][key + "_range"] = [min(found), max(found)]
    if "peer" in out:
        a, b = out["einthoven"], out["peer"]
        out["ratio"] = {
            name: a[key] / b[key]
            for name, key in [("cpu", "cpu_ms"), ("wall", "wall_ms"), ("peak_memory", "peak_above_idle_mib")]
            if b[key] > 0
        }
        out["ratio"]["best_cpu"] = a["cpu_ms_range"][0] / b["cpu_ms_range"][0]
        out["largest_relative_difference"] = distance(a["values"], b["values"])
    return out


def distance(values, exact):
    """The largest relative difference."""
    return max(abs(x - y) / max(abs(y), 1e-12) for x, y in zip(values, exact))


def exact(python, script, file):
    """The peer's first losses of a training in double precision."""
    run = subprocess.run([python, script, "exact", file], check=True, capture_output=True)
    return json.loads(run.stdout)


def flat(found, true=None):
    """A comparison as one row, its values judged by true ones or else by the peer's."""
    ours, theirs = found["einthoven"], found["peer"]
    true = true or theirs["values"]
    difference, peer_difference = distance(ours["values"], true), distance(theirs["values"], true)
    return {
        "threads": found["threads"],
        "ours_ms": ours["wall_ms"],
        "peer_ms": theirs["wall_ms"],
        "ratio": ours["wall_ms"] / theirs["wall_ms"],
        "ours_cpu_ms": ours["cpu_ms"],
        "peer_cpu_ms": theirs["cpu_ms"],
        "cpu_ratio": ours["cpu_ms"] / theirs["cpu_ms"],
        "best_cpu_ratio": ours["cpu_ms_range"][0] / theirs["cpu_ms_range"][0],
        "best_ratio": ours["wall_ms_range"][0] / theirs["wall_ms_range"][0],
        "ours_peak_mb": ours["peak_above_idle_mib"] * 1.048576,
        "peer_peak_mb": theirs["peak_above_idle_mib"] * 1.048576,
        "losses_agree": difference <= max(LOSS_TOLERANCE, 2 * peer_difference),
        "loss_difference": difference,
        "peer_loss_difference": peer_difference,
        "peer": theirs["engine"],
        "rounds": found["rounds"],
        "load_average": os.getloadavg()[0],
    }


def marked(threads, cpu_ratio, wall_ratio):
    """Both ratios, bold as READING says."""
    return (f"**{cpu_ratio}**" if threads == 1 else cpu_ratio), f"**{wall_ratio}**"


def cells(row):
    """The columns of HEADER."""
    cpu_ratio, wall_ratio = marked(row["threads"], f"{row['cpu_ratio']:.2f}", f"{row['ratio']:.2f}")
    return (
        f"{row['ours_cpu_ms']:.1f} / {row['peer_cpu_ms']:.1f} | {cpu_ratio} "
        f"| {row['best_cpu_ratio']:.2f} | {row['ours_ms']:.1f} / {row['peer_ms']:.1f} | {wall_ratio} "
        f"| {TARGETS[row['mode']]} | {row['ours_peak_mb']:.0f} / {row['peer_peak_mb']:.0f} "
        f"| {row['ours_peak_mb'] / max(row['peer_peak_mb'], 1e-9):.2f} | {row['loss_difference']:.0e}"
    )


def circumstances(m, rows):
    """The lines above a table: the machine, its load and the peer."""
    loads, rounds = [row["load_average"] for row in rows], sorted({row["rounds"] for row in rows})
    lines = [
        f"{m['cpu']}, {m['cores']} cores, {m['system']}; load average {min(loads):.1f} to {max(loads):.1f} while "
        f"measuring; {' or '.join(map(str, rounds))} rounds. Peer: {', '.join(sorted({row['peer'] for row in rows}))}.",
        "",
    ]
    if max(loads) > 3:
        lines += [
            "**Taken on a busy machine**: other programs had the processors too. Read the processor times of one",
            "thread; wall times and two threads say little.",
            "",
        ]
    return lines + ["Ours / peer.", *READING, ""]


def tell(name, row):
    """Prints a row."""
    print(
        f"{name} {row['mode']:7} {row['threads']} threads: {row['ours_ms']:8.1f} / {row['peer_ms']:8.1f} ms, "
        f"ratio {row['ratio']:.2f}; processor {row['cpu_ratio']:.2f}; peak {row['ours_peak_mb']:.0f} / "
        f"{row['peer_peak_mb']:.0f} MB; losses {'agree' if row['losses_agree'] else 'differ'}",
        flush=True,
    )


def dump(report, path):
    pathlib.Path(path).write_text(json.dumps(report, indent=1) + "\n")


def put(page, begin, end, text):
    """Writes text between two marks of a page."""
    before, rest = page.read_text().split(begin)
    page.write_text(before + begin + text + end + rest.split(end)[1])


def machine():
    cpu = "unknown"
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.system() + " " + platform.machine(),
    }
