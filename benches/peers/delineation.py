"""NeuroKit2's dwt delineator and wfdb's xqrs on the records that `score_beats` uses: predictions and CPU time.

    python delineation.py DATA OUT

writes OUT/mitdb/RECORD.txt (beats of xqrs on the first lead), OUT/ludb/RECORD.json and OUT/qtdb/RECORD.json (waves of
NeuroKit2, lead by lead) and OUT/times.json. `score_beats DATA OUT` then scores them by the rules that ours are scored
by. With a third argument N every N-th record of MIT-BIH and LUDB is run, and the others are left out.
"""

import json
import os
import sys
import time
import warnings

import neurokit2 as nk
import numpy as np
import wfdb
from wfdb import processing

warnings.filterwarnings("ignore")


def whole(value):
    return None if value is None or np.isnan(value) else int(value)


def xqrs(folder, out, names):
    """Beats of the first lead; returns CPU milliseconds per record."""
    times = []
    for name in names:
        signal = wfdb.rdrecord(os.path.join(folder, name), channels=[0])
        start = time.process_time()
        found = processing.XQRS(sig=signal.p_signal[:, 0], fs=signal.fs)
        found.detect(verbose=False)
        times.append(1e3 * (time.process_time() - start))
        with open(os.path.join(out, name + ".txt"), "w") as file:
            file.write("\n".join(str(int(at)) for at in found.qrs_inds))
    return times


def lead_waves(signal, fs):
    """Waves of one lead as [wave, onset, peak, offset]; none where NeuroKit2 gives up."""
    try:
        clean = nk.ecg_clean(signal, sampling_rate=fs)
        _, peaks = nk.ecg_peaks(clean, sampling_rate=fs)
        r_peaks = peaks["ECG_R_Peaks"]
        _, found = nk.ecg_delineate(clean, r_peaks, sampling_rate=fs, method="dwt")
    except Exception:  # It raises IndexError, ValueError and others on leads with few or odd beats.
        return []
    waves = []
    for wave, mark, tops in (("P", "P", found["ECG_P_Peaks"]), ("QRS", "R", r_peaks), ("T", "T", found["ECG_T_Peaks"])):
        onsets, offsets = found[f"ECG_{mark}_Onsets"], found[f"ECG_{mark}_Offsets"]
        for onset, peak, offset in zip(onsets, tops, offsets):
            if whole(peak) is not None:
                waves.append([wave, whole(onset), whole(peak), whole(offset)])
    return sorted(waves, key=lambda wave: wave[2])


def dwt(folder, out, names, scale):
    """Waves of every lead; returns CPU milliseconds per lead."""
    times = []
    for name in names:
        record = wfdb.rdrecord(os.path.join(folder, name), physical=False)
        leads = []
        for lead in record.d_signal.T.astype(float) / scale:
            start = time.process_time()
            leads.append(lead_waves(lead, record.fs))
            times.append(1e3 * (time.process_time() - start))
        with open(os.path.join(out, name + ".json"), "w") as file:
            json.dump(leads, file)
    return times


def main():
    data, out = sys.argv[1:3]
    every = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    listed = {}
    for base in ("mitdb", "ludb", "qtdb"):
        os.makedirs(os.path.join(out, base), exist_ok=True)
        with open(os.path.join(data, base, "RECORDS")) as file:
            listed[base] = [line.split("/")[-1] for line in file.read().split()]
    times = {
        "xqrs_ms_per_record": xqrs(os.path.join(data, "mitdb"), os.path.join(out, "mitdb"), listed["mitdb"][::every]),
        "dwt_ms_per_lead": dwt(
            os.path.join(data, "ludb", "data"), os.path.join(out, "ludb"), listed["ludb"][::every], 1000.0
        ),
    }
    dwt(os.path.join(data, "qtdb"), os.path.join(out, "qtdb"), listed["qtdb"], 200.0)
    summary = {name: float(np.median(values)) for name, values in times.items()}
    summary["versions"] = {"neurokit2": nk.__version__, "wfdb": wfdb.__version__}
    with open(os.path.join(out, "times.json"), "w") as file:
        json.dump(summary, file, indent=2)


if __name__ == "__main__":
    main()
