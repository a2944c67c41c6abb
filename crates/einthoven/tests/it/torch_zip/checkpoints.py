"""Checkpoints as torch.save writes them: one state dict in every wrapping, and files that are to be refused.

Usage: checkpoints.py good WEIGHTS.safetensors FOLDER
       checkpoints.py bad FOLDER MARKER

The first writes VARIANT.pt, all of the same values, and rounded.pt with rounded.safetensors, of 16 bits. The second writes
CODE-NAME.pt, where CODE is the rule that refuses it; running one of them would write the file MARKER.
"""

import argparse
import collections
import json
import os
import pathlib
import pickle
import struct
import sys
import zipfile

import torch

TYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "I32": torch.int32}


def read(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    body = data[8 + length :]
    state = collections.OrderedDict()
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            flat = torch.frombuffer(bytearray(body[start:end]), dtype=TYPES[entry["dtype"]])
            state[name] = flat.reshape(entry["shape"])
    return state


def write(path, state):
    header, body = {}, b""
    for name, tensor in state.items():
        data = tensor.float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def good(weights, folder):
    state = read(weights)
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"betas": (0.9, 0.99)}]}
    axes = lambda x: tuple(reversed(range(x.dim())))
    backwards = lambda x: x.permute(axes(x)).contiguous().permute(axes(x))
    is_float = lambda x: x.dtype.is_floating_point
    # Views of one storage, in the order of the names.
    flat, place, shared = torch.cat([x.flatten().double() for x in state.values()]), 0, {}
    for name, tensor in state.items():
        shared[name] = flat[place : place + tensor.numel()].view(tensor.shape)
        place += tensor.numel()
    spaced = {name: torch.stack([x, x], -1)[..., 1] for name, x in state.items()}
    variants = {
        "plain": state,
        "model_state_dict": {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer},
        "state_dict": {"state_dict": state, "loss": 0.5, "names": ["a", "b"], "none": None},
        "generator": {"generator": state, "discriminator": {"conv1.weight": torch.zeros(3)}},
        "module": parallel,
        "model_of_module": {"step": 1, "model": parallel, "optimizer": optimizer},
        "ema": {"ema": {"module": state, "decay": 0.99}},
        "transposed": {name: backwards(x) for name, x in state.items()},
        "shared": shared,
        "spaced": spaced,
        "parameters": {name: torch.nn.Parameter(x) if is_float(x) else x for name, x in state.items()},
        "double": {name: x.double() if is_float(x) else x for name, x in state.items()},
    }
    for name, content in variants.items():
        torch.save(content, folder / f"{name}.pt")
    torch.save(state, folder / "protocol4.pt", pickle_protocol=4)
    # Not half precision: published state dicts hold numbers that are too large for it.
    rounded = {name: x.bfloat16() if is_float(x) else x for name, x in state.items()}
    torch.save(rounded, folder / "rounded.pt")
    write(folder / "rounded.safetensors", rounded)


class Call:
    """What a pickle runs when Python loads it."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def edited(source, path, edit):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = edit(name.partition("/")[2], old.read(name))
            if data is not None:
                new.writestr(name, data)


def bad(folder, marker):
    weights = {"w": torch.arange(6.0).view(2, 3)}
    foreign = {
        "system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, f"open({marker!r}, 'w')"),
        "open": Call(open, marker, "w"),
        "module": torch.nn.Linear(2, 2),
        "namespace": argparse.Namespace(rate=1),
        "sparse": torch.eye(2).to_sparse(),
        "conjugated": torch.zeros(2, dtype=torch.complex64).conj(),
    }
    for name, value in foreign.items():
        torch.save({**weights, "x": value}, folder / f"M01-{name}.pt")
    torch.save(weights, folder / "M01-old.pt", _use_new_zipfile_serialization=False)
    (folder / "M01-bare.pt").write_bytes(pickle.dumps({"w": [1.0]}))
    (folder / "M01-empty.pt").write_bytes(b"")
    good = folder / "good"
    torch.save(weights, good)

    def program(old, new):
        def edit(name, data):
            assert name != "data.pkl" or old in data, (old, data)
            return data.replace(old, new) if name == "data.pkl" else data

        return edit

    build = b"ctorch.nn.modules.linear\nLinear\n)\x81}X\x01\x00\x00\x00ak\x01sb."
    edited(good, folder / "M01-build.pt", lambda name, data: data[:-1] + build if name == "data.pkl" else data)
    # Six values, of which there are 2^31 - 1; the first one at 2^63 - 1.
    edited(good, folder / "M02-count.pt", program(b"K\x06tq", b"J\xff\xff\xff\x7ftq"))
    offset = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
    edited(good, folder / "M02-offset.pt", program(b"QK\x00K\x02K\x03", b"Q" + offset + b"K\x02K\x03"))
    edited(good, folder / "M02-short.pt", lambda name, data: data[:10] if name == "data/0" else data)
    edited(good, folder / "M02-gone.pt", lambda name, data: None if name == "data/0" else data)
    (folder / "M02-cut.pt").write_bytes(good.read_bytes()[:300])


if __name__ == "__main__":
    if sys.argv[1] == "good":
        good(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    else:
        bad(pathlib.Path(sys.argv[2]), sys.argv[3])
