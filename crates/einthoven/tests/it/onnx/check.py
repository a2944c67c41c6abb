"""Runs each exported graph of a folder in onnxruntime and compares it with what our own forward pass gave.

Usage: check.py FOLDER, which holds for each case CASE.onnx and CASE.json: {"inputs": {name: [shape, values]},
"output": [shape, values]}. Prints one line per case; exits with 1 if a difference is above 1e-4 of the largest value.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

failed = False
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    case = json.loads(path.with_suffix(".json").read_text())
    array = lambda pair, kind=np.float32: np.array(pair[1], dtype=kind).reshape(pair[0])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kinds = {port.name: np.int64 if "int64" in port.type else np.float32 for port in session.get_inputs()}
    (found,) = session.run(None, {name: array(pair, kinds[name]) for name, pair in case["inputs"].items()})
    expected = array(case["output"])
    assert found.shape == expected.shape, (path.stem, found.shape, expected.shape)
    error = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
    print(f"{path.stem}: {error:.2e}")
    failed |= not error < 1e-4
sys.exit(failed)
