"""Weights and a batch from the file that an example of the library wrote, and training steps on them.

Networks are functions of a dictionary of tensors, like ours, so that names match one to one.
"""

import json
import math
import struct

import torch
import torch.nn.functional as F


def load(path):
    """Tensors and metadata of a safetensors file with 32-bit values, in torch's default precision."""
    with open(path, "rb") as file:
        (n,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(n))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(data[begin:end], dtype=torch.float32)
        tensors[name] = values.reshape(entry["shape"]).to(torch.get_default_dtype(), copy=True)
    return tensors, json.loads(metadata["network"])


def taken(tensors, prefix):
    """The tensors below a prefix, taken out, without it."""
    return {key[len(prefix) :]: tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}


class Params:
    """Tensors below a name."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def at(self, name):
        return Params(self.tensors, f"{self.prefix}{name}.")

    def get(self, name):
        return self.tensors.get(self.prefix + name)

    def weight(self):
        """The weight; where it is a direction and a length for each entry of its first axis, their product."""
        direction = self.get("weight_v")
        if direction is None:
            return self.get("weight")
        length = direction.flatten(1).norm(dim=1) if direction.dim() > 1 else direction.abs()
        g = self.get("weight_g")
        return direction * (g / length.reshape(g.shape))

    def conv(self, name, x, stride=1, padding=0, dilation=1):
        p = self.at(name)
        return F.conv1d(x, p.weight(), p.get("bias"), stride, padding, dilation)

    def linear(self, name, x):
        p = self.at(name)
        weight = p.weight()
        return F.linear(x, weight.reshape(weight.shape[:2]), p.get("bias"))


def sines(time, width, theta=10_000.0):
    """Sines and then cosines of a time for each item."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=time.device) * (-math.log(theta) / (half - 1)))
    angles = time[:, None] * frequencies[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def attention(q, k, v, heads):
    """Softmax attention of `[batch, token, channel]`."""
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def steps(weights, loss, rate=1e-3, decay=1e-4, betas=(0.9, 0.999), clip=0.0):
    """A function that takes a step of AdamW and returns the loss before it."""
    for tensor in weights.values():
        tensor.requires_grad_(True)
    # As ours: gains, biases and norms are not decayed.
    is_matrix = {name: sum(n > 1 for n in tensor.shape) > 1 for name, tensor in weights.items()}
    groups = [
        {"params": [t for name, t in weights.items() if is_matrix[name]], "weight_decay": decay},
        {"params": [t for name, t in weights.items() if not is_matrix[name]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=betas, eps=1e-5, fused=True)

    def step():
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if clip > 0.0:
            torch.nn.utils.clip_grad_norm_(weights.values(), clip)
        optimizer.step()
        return value.item()

    return step
