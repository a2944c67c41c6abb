"""The workloads W1 to W6 in PyTorch, from the file that the example `workload` wrote.

    python workloads.py train|forward FILE THREADS
    python workloads.py exact FILE

`exact` prints the losses of the first training steps in double precision.
"""

import json
import sys

import torch
import torch.nn.functional as F

import worker
from stored import Params, load, steps, taken


def embed(p, embedding):
    return F.silu(p.linear("step.1", F.silu(p.linear("step.0", embedding))))


def diffwave(config, p, x, embedding):
    layers, cycle = (10, 8) if config["name"] == "W1" else (12, 10)
    step = embed(p, embedding)
    h = F.relu(p.conv("input", x))
    total = None
    for layer in range(layers):
        q = p.at(f"layers.{layer}")
        dilation = 2 ** (layer % cycle)
        y = h + q.linear("step", step)[:, :, None]
        opened, signal = q.conv("conv", y, padding=dilation, dilation=dilation).chunk(2, dim=1)
        residual, skip = q.conv("out", torch.sigmoid(opened) * torch.tanh(signal)).chunk(2, dim=1)
        h = (h + residual) * 0.5**0.5
        total = skip if total is None else total + skip
    return p.conv("output", F.relu(p.conv("skip", total * layers**-0.5)))


def long_convolutions(config, p, x):
    n = x.shape[2]
    size = 2048 if n == 1000 else 2 * n
    for layer in range(4):
        q = p.at(f"layers.{layer}")
        product = torch.fft.rfft(x, n=size) * torch.fft.rfft(q.get("kernel"), n=size)
        y = F.gelu(torch.fft.irfft(product, n=size)[..., :n])
        x = x + F.glu(q.conv("mix", y), dim=1)
    return x


def resnet(config, p, x, is_training):
    def normalize(q, x):
        mean, variance = (None, None) if is_training else (q.get("mean"), q.get("variance"))
        return F.batch_norm(x, mean, variance, q.get("gain"), q.get("bias"), is_training, 0.1, 1e-5)

    for index, stride in enumerate([2, 1, 2]):
        q = p.at(f"stem.{index}")
        x = F.relu(normalize(q.at("norm"), p.conv(f"stem.{index}", x, stride, 2)))
    for stage in range(4):
        for block in range(2):
            q = p.at(f"stages.{stage}.{block}")
            stride = 2 if stage > 0 and block == 0 else 1
            y = F.relu(normalize(q.at("0.norm"), q.conv("0", x, stride, 2)))
            y = normalize(q.at("1.norm"), q.conv("1", y, 1, 2))
            x = F.relu(y + (q.conv("shortcut", x, stride) if stride == 2 else x))
    return p.linear("output", x.mean(dim=2))[:, :, None]


def transformer(config, p, x):
    """On [batch, token, channel], the layout that PyTorch is fastest in."""
    for layer in range(4):
        q = p.at(f"layers.{layer}")
        y = F.layer_norm(x, x.shape[2:], q.at("norm1").get("gain"), q.at("norm1").get("bias"), 1e-5)
        b, n, c = y.shape
        parts = q.linear("qkv", y).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        x = x + q.linear("out", y.transpose(1, 2).reshape(b, n, c))
        y = F.layer_norm(x, x.shape[2:], q.at("norm2").get("gain"), q.at("norm2").get("bias"), 1e-5)
        x = x + q.linear("down", F.gelu(q.linear("up", y)))
    return x


def unet(config, p, x, embedding):
    step = embed(p, embedding)

    def norm(q, x):
        return F.silu(F.group_norm(x, 8, q.get("gain"), q.get("bias"), 1e-5))

    def block(name, x):
        q = p.at(name)
        h = q.conv("conv1", norm(q.at("norm1"), x), padding=1)
        h = h + q.linear("step", step)[:, :, None]
        h = q.conv("conv2", norm(q.at("norm2"), h), padding=1)
        return h + (q.conv("shortcut", x) if q.at("shortcut").get("weight") is not None else x)

    x = p.conv("input", x, padding=1)
    skips = []
    for level in range(3):
        x = block(f"down.{level}.1", block(f"down.{level}.0", x))
        skips.append(x)
        if level < 2:
            x = p.conv(f"down.{level}.half", x, 2, 1)
    x = block("middle", x)
    for level in (2, 1, 0):
        x = block(f"up.{level}", torch.cat([x, skips.pop()], dim=1))
        if level > 0:
            x = p.conv(f"up.{level}.double", F.interpolate(x, scale_factor=2, mode="nearest"), padding=1)
    return p.conv("output", norm(p.at("norm"), x), padding=1)


class Problem:
    """A workload with its weights and its batch."""

    def __init__(self, path):
        self.weights, self.config = load(path)
        self.inputs = taken(self.weights, "data.")
        if self.config["name"] == "W5":
            self.inputs = {key: tensor.transpose(1, 2).contiguous() for key, tensor in self.inputs.items()}

    def loss(self, is_training):
        config, p = self.config, Params(self.weights)
        x, embedding = self.inputs["x"], self.inputs.get("embedding")
        networks = {
            "W1": lambda: diffwave(config, p, x, embedding),
            "W2": lambda: diffwave(config, p, x, embedding),
            "W3": lambda: long_convolutions(config, p, x),
            "W4": lambda: resnet(config, p, x, is_training),
            "W5": lambda: transformer(config, p, x),
            "W6": lambda: unet(config, p, x, embedding),
        }
        return (networks[config["name"]]() - self.inputs["target"]).square().mean()

    def training_step(self):
        return steps(self.weights, lambda: self.loss(True))


def main():
    what, path = sys.argv[1:3]
    if what == "exact":
        torch.set_default_dtype(torch.float64)
        step = Problem(path).training_step()
        print(json.dumps([step() for _ in range(worker.WARM_UP)]))
        return
    torch.set_num_threads(int(sys.argv[3]))
    idle_kib = worker.reset_peak_kib()
    problem = Problem(path)
    engine = "torch " + torch.__version__
    if what == "train":
        worker.serve(engine, idle_kib, problem.training_step())
        return
    if problem.config["name"] == "W4":
        # Running statistics as they start.
        for key in [key for key in problem.weights if key.endswith("norm.gain")]:
            gain = problem.weights[key]
            problem.weights[key[:-4] + "mean"] = torch.zeros_like(gain)
            problem.weights[key[:-4] + "variance"] = torch.ones_like(gain)

    def forward():
        with torch.inference_mode():
            return problem.loss(False).item()

    worker.serve(engine, idle_kib, forward)


if __name__ == "__main__":
    main()
