"""Golden values of signal processing: writes signal_processing.json beside itself.

Needs numpy, scipy and PyWavelets; the versions that made the stored file are in it.
    python signal_processing.py
"""

import json
from pathlib import Path

import numpy as np
import pywt
import scipy
from scipy import interpolate, ndimage, signal, stats

FS = 250.0
rng = np.random.default_rng(4)
t = np.arange(501) / FS
phase = t % 0.8 - 0.4
x = np.exp(-((phase / 0.012) ** 2)) + 0.25 * np.exp(-(((phase - 0.22) / 0.045) ** 2))
x = np.round(x + 0.3 * np.sin(2 * np.pi * 0.4 * t) + 0.02 * rng.standard_normal(t.size) + 0.5, 6)


def band(f, p, low, high):
    return p[(f >= low) & (f < high)].sum()


def soft_denoise(x, wavelet, level):
    parts = pywt.wavedec(x, wavelet, mode="symmetric", level=level)
    threshold = np.median(np.abs(parts[-1])) / 0.6745 * np.sqrt(2 * np.log(len(x)))
    parts[1:] = [pywt.threshold(d, threshold, "soft") for d in parts[1:]]
    return pywt.waverec(parts, wavelet, mode="symmetric")[: len(x)]


out = {"versions": {"numpy": np.__version__, "scipy": scipy.__version__, "pywt": pywt.__version__}, "fs_hz": FS}
arrays = {"x": x}
for name, kind, order, edge in [
    ("lowpass", "low", 7, 40),
    ("highpass", "high", 2, 0.5),
    ("bandpass", "band", 3, [5, 15]),
    ("bandstop", "bandstop", 4, [48, 52]),
]:
    arrays[f"zero_phase.{name}"] = signal.sosfiltfilt(signal.butter(order, edge, kind, fs=FS, output="sos"), x)
arrays["notch"] = signal.filtfilt(*signal.iirnotch(50, 30, fs=FS), x)
arrays["resample_poly.2_5_line"] = signal.resample_poly(x, 2, 5, padtype="line")
arrays["resample_poly.18_25_line"] = signal.resample_poly(x, 18, 25, padtype="line")
arrays["resample_poly.3_2"] = signal.resample_poly(x, 3, 2)
arrays["resample_fourier.200"] = signal.resample(x, 200)
arrays["resample_fourier.700"] = signal.resample(x, 700)
arrays["median_nearest.51"] = ndimage.median_filter(x, 51, mode="nearest")
wide = ndimage.median_filter(arrays["median_nearest.51"], 151, mode="nearest")
arrays["median_baseline"] = wide
knots = np.array([10.0, 60, 150, 230, 400, 490])
arrays["spline.knots"] = knots
for end in ["not-a-knot", "natural"]:
    arrays[f"spline.{end}"] = interpolate.CubicSpline(knots, x[knots.astype(int)], bc_type=end)(np.arange(10, 491))
_, _, z = signal.stft(x, FS, nperseg=100, noverlap=75)
arrays["stft.re"], arrays["stft.im"] = z.real, z.imag
arrays["istft"] = signal.istft(0.5 * z, FS, nperseg=100, noverlap=75)[1][: x.size]
for wavelet in ["db4", "sym8"]:
    parts = pywt.wavedec(x, wavelet, mode="symmetric", level=4)
    arrays[f"{wavelet}.approximation"] = parts[0]
    for k, detail in enumerate(parts[:0:-1]):
        arrays[f"{wavelet}.detail{k + 1}"] = detail
    arrays[f"{wavelet}.denoised"] = soft_denoise(x, wavelet, 4)
f, p = signal.welch(x, FS, nperseg=500)
out["quality"] = {
    "kurtosis": stats.kurtosis(x, fisher=False),
    "skewness": stats.skew(x),
    "qrs_power_share": band(f, p, 5, 15) / band(f, p, 5, 40),
    "baseline_power_share": band(f, p, 1, 40) / band(f, p, 0, 40),
}
# Every fifth value of long arrays, from the first on: enough to notice a wrong convention.
out["step"] = 5
out["arrays"] = {
    name: np.ravel(values)[:: 1 if name in ("x", "spline.knots") else out["step"]].tolist()
    for name, values in arrays.items()
}
text = json.dumps(out, indent=0, separators=(",", ":")).replace(",\n", ",")
Path(__file__).with_name("signal_processing.json").write_text(text + "\n")
