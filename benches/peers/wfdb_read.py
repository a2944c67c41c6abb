"""wfdb-python as a peer of `step_time record|annotations|beats`.

    python wfdb_read.py record|annotations|beats PATH
"""

import os
import sys

import numpy as np
import wfdb

import worker

# Symbols of the five AAMI classes and the records with a pacemaker, as in the catalogue.
AAMI = set("NLRejAaJSVEF/fQ")
PACED = {"102", "104", "107", "217"}


def record(path):
    """Reads a record in ADC units; returns the sum of some points of its first lead."""
    read = wfdb.rdrecord(os.path.splitext(path)[0], physical=False)
    return float(read.d_signal[::1000, 0].sum())


def annotations(path):
    """Reads an annotation file; returns the number of annotations."""
    return float(len(wfdb.rdann(os.path.splitext(path)[0], "atr").sample))


def beats(folder):
    """Windows of 256 points around each beat of lead MLII; returns their number."""
    cuts = []
    for name in sorted(name[:-4] for name in os.listdir(folder) if name.endswith(".hea")):
        path = os.path.join(folder, name)
        if name in PACED or "MLII" not in wfdb.rdheader(path).sig_name:
            continue
        signal = wfdb.rdrecord(path, channel_names=["MLII"]).p_signal[:, 0].astype(np.float32)
        marks = wfdb.rdann(path, "atr")
        for sample, symbol in zip(marks.sample, marks.symbol):
            if symbol in AAMI and sample >= 128 and sample + 128 <= len(signal):
                cuts.append(signal[sample - 128 : sample + 128])
    return float(len(np.stack(cuts)))


if __name__ == "__main__":
    what, path = sys.argv[1:3]
    idle_kib = worker.reset_peak_kib()
    work = {"record": record, "annotations": annotations, "beats": beats}[what]
    worker.serve("wfdb " + wfdb.__version__, idle_kib, lambda: work(path))
