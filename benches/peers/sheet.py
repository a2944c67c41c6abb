"""ecg_plot as a peer of `cargo bench --bench sheets`: the same made-up record, 10 s of twelve leads at 500 Hz.

    python sheet.py [REPEATS]

Prints the processor time of a sheet in three-by-four form with a rhythm lead, as PNG and as SVG: the median of the
repeats after one that is not counted. Processor time, because the clock of a busy machine says little.
"""

import statistics
import sys
import tempfile
import time

import matplotlib

matplotlib.use("Agg")

import ecg_plot
import matplotlib.pyplot as plt
import numpy as np


def leads():
    """Twelve leads in the standard order, mV; the formula of benches/sheets.rs."""
    t = np.arange(5000)
    at = (t % 500) - 250.0
    eight = [np.exp(-((at / 8) ** 2)) * (1 - 0.2 * k) + 0.02 * np.sin(t * 0.9 + k) for k in range(8)]
    one, two = eight[:2]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.array(limb + eight[2:])


def sheet(ecg, kind, path):
    ecg_plot.plot(ecg, sample_rate=500, columns=4, show_separate_line=True)
    plt.savefig(path + "." + kind, dpi=152.4)
    plt.close("all")


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ecg = leads()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("png", "svg"):
            times = []
            for _ in range(repeats + 1):
                start = time.process_time()
                sheet(ecg, kind, folder + "/sheet")
                times.append(time.process_time() - start)
            print(f"ecg_plot {kind}: {1e3 * statistics.median(times[1:]):.0f} ms")
