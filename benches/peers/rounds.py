"""Interleaved rounds of two processes that speak the protocol of `worker.py`."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Worker:
    """A process that answers a number of calls with their time."""

    def __init__(self, command, threads):
        # Threads that wait for each other should sleep: spinning would count as processor time, and on a
        # busy machine it exceeds the work.
        passive = {"OMP_WAIT_POLICY": "PASSIVE"}
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads), **passive)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT
        )
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
