"""Twelve-lead records of 10 s at 500 Hz: ours and NeuroKit2's, in turns on one core.

    python simulate.py PATH/TO/simulate_twelve_leads [ROUNDS]

The first argument is the example of that name, built with
`cargo build --release -p einthoven --no-default-features --example simulate_twelve_leads`.

Prints a table in Markdown: records per second of processor time (median of the rounds; wall times would measure what else
the machine does) and by how much lead II differs from I + III, as a share of the largest amplitude of II. Our records are
written as WFDB with beats, the waves of every lead and truth.json, with noise as a second record too; NeuroKit2's stay in
memory. Tried with neurokit2 0.3.0 and
wfdb 4.3.1.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
os.environ["RAYON_NUM_THREADS"] = "1"


def ours(command, condition, snr, n):
    """Processor seconds for n records that are written, and how far the first is from Einthoven's law."""
    import wfdb

    folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [command, condition, os.path.join(folder, "x"), str(n), *snr],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = wfdb.rdrecord(os.path.join(folder, "x", "syn_000000"))
    shutil.rmtree(folder)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, law(dict(zip(record.sig_name, record.p_signal.T)))


def law(table):
    """Largest distance of I + III from II, as a share of the largest amplitude of II."""
    lead = lambda name: np.asarray(table[name], dtype=float)
    return float(np.abs(lead("I") + lead("III") - lead("II")).max() / np.abs(lead("II")).max())


def theirs(method, n, seed):
    """Processor seconds for n records, and how far the last is from Einthoven's law."""
    import neurokit2

    start, table = time.process_time(), None
    for k in range(n):
        table = neurokit2.ecg_simulate(duration=10, sampling_rate=500, method=method, random_state=seed + k)
    return time.process_time() - start, law(table) if method == "multileads" else None


def main():
    command = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    theirs("multileads", 1, 0)  # What is loaded at the first use is not counted.
    rows = {
        "einthoven, sinus": ("sinus", [], 300),
        "einthoven, sinus, noise at 20 dB": ("sinus", ["20"], 300),
        "einthoven, af": ("af", [], 300),
        "einthoven, af, noise at 20 dB": ("af", ["20"], 300),
    }
    peers = {"NeuroKit2 multileads (12 leads)": ("multileads", 2), "NeuroKit2 ecgsyn (1 lead)": ("ecgsyn", 10)}
    speeds, laws = {}, {}
    for seed in range(rounds):
        for name, (condition, snr, n) in rows.items():
            seconds, laws[name] = ours(command, condition, snr, n)
            speeds.setdefault(name, []).append(n / seconds)
        for name, (method, n) in peers.items():
            seconds, laws[name] = theirs(method, n, 100 * seed)
            speeds.setdefault(name, []).append(n / seconds)
    print("| simulator | records a second and core | rounds from .. to | II against I + III |\n|---|---|---|---|")
    for name, values in speeds.items():
        share = "-" if laws[name] is None else f"{100 * laws[name]:.2g} %"
        print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} .. {max(values):.1f} | {share} |")


if __name__ == "__main__":
    main()
