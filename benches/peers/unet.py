"""The beat U-Net of `nn/unet1d.rs` in PyTorch, from the same weights file, as a peer of `step_time`.

    python unet.py train|forward FILE THREADS
    python unet.py device cuda FILE eager|compile [tf32]

The second form serves the training step and the denoiser call by name, as `step_time device` does.

The network is a function of a dictionary of tensors, like ours, so that names match one to one.
"""

import sys

import torch
import torch.nn.functional as F

import worker
from stored import load, sines, steps, taken


class Unet:
    """Applies the layout of a configuration to parameters."""

    def __init__(self, config, p):
        self.c, self.p = config, p

    def conv(self, name, x, stride=1, padding=0):
        return F.conv1d(x, self.p[name + ".weight"], self.p.get(name + ".bias"), stride, padding)

    def linear(self, name, x):
        return F.linear(x, self.p[name + ".weight"], self.p[name + ".bias"])

    def conv_standardized(self, name, x):
        w = self.p[name + ".weight"]
        variance, mean = torch.var_mean(w, dim=(1, 2), correction=0, keepdim=True)
        return F.conv1d(x, (w - mean) * (variance + 1e-5).rsqrt(), self.p[name + ".bias"], 1, 1)

    def channel_norm(self, name, x):
        return F.normalize(x, dim=1, eps=1e-12) * self.p[name + ".g"] * x.shape[1] ** 0.5

    def half_block(self, name, x, scale_shift=None):
        x = self.conv_standardized(name + ".proj", x)
        x = F.group_norm(x, self.c["groups"], self.p[name + ".norm.weight"], self.p[name + ".norm.bias"], 1e-5)
        if scale_shift is not None:
            scale, shift = scale_shift
            x = x * (scale + 1) + shift
        return F.silu(x)

    def block(self, name, x, embedding):
        scale_shift = self.linear(name + ".mlp.1", embedding).unsqueeze(2).chunk(2, dim=1)
        h = self.half_block(name + ".block1", x, scale_shift)
        h = self.half_block(name + ".block2", h)
        return h + (self.conv(name + ".res_conv", x) if name + ".res_conv.weight" in self.p else x)

    def split(self, qkv, heads, width):
        b, _, n = qkv.shape
        return [part.reshape(b * heads, width, n) for part in qkv.chunk(3, dim=1)]

    def level_attention(self, name, x):
        heads, width = self.c["level_attention"]
        b, _, n = x.shape
        q, k, v = self.split(self.conv(name + ".fn.fn.to_qkv", self.channel_norm(name + ".fn.norm", x)), heads, width)
        q, k = q.softmax(dim=1) * width**-0.5, k.softmax(dim=2)
        context = torch.bmm(k, v.transpose(1, 2))
        out = torch.bmm(context.transpose(1, 2), q).reshape(b, heads * width, n)
        return x + self.channel_norm(name + ".fn.fn.to_out.1", self.conv(name + ".fn.fn.to_out.0", out))

    def middle_attention(self, x):
        heads, width = self.c["middle_attention"]
        b, _, n = x.shape
        q, k, v = self.split(self.conv("mid_attn.fn.fn.to_qkv", self.channel_norm("mid_attn.fn.norm", x)), heads, width)
        weights = torch.bmm((q * width**-0.5).transpose(1, 2), k).softmax(dim=2)
        out = torch.bmm(v, weights.transpose(1, 2)).reshape(b, heads * width, n)
        return x + self.conv("mid_attn.fn.fn.to_out", out)

    def embed(self, time, classes):
        features = sines(time, self.c["time_width"], self.c["time_theta"])
        time = self.linear("time_mlp.3", F.gelu(self.linear("time_mlp.1", features)))
        classes = self.linear("classes_mlp.2", F.gelu(self.linear("classes_mlp.0", self.rows(classes))))
        return F.silu(torch.cat([time, classes], dim=1))

    def rows(self, classes):
        """What the network is told beside the time, before its two maps."""
        return F.embedding(classes, self.p["classes_emb.weight"])

    def __call__(self, x, time, classes):
        c = self.c
        blocks, last = c["blocks"], len(c["multipliers"]) - 1
        embedding = self.embed(time, classes)
        stem = x = self.conv("init_conv", x, c["stem_stride"], 3)
        skips = []
        for i in range(last + 1):
            for b in range(blocks):
                x = self.block(f"downs.{i}.{b}", x, embedding)
                if b + 1 < blocks:
                    skips.append(x)
            x = self.level_attention(f"downs.{i}.{blocks}", x)
            skips.append(x)
            x = self.conv(f"downs.{i}.{blocks + 1}", x, 2 if i < last else 1, 1)
        x = self.block("mid_block1", x, embedding)
        x = self.middle_attention(x)
        x = self.block("mid_block2", x, embedding)
        for i in range(last + 1):
            for b in range(blocks):
                x = self.block(f"ups.{i}.{b}", torch.cat([x, skips.pop()], dim=1), embedding)
            x = self.level_attention(f"ups.{i}.{blocks}", x)
            name = f"ups.{i}.{blocks + 1}"
            if i < last:
                name, x = name + ".1", F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.conv(name, x, 1, 1)
        x = self.block("final_res_block", torch.cat([x, stem], dim=1), embedding)
        x = self.conv("final_conv", x)
        b, _, n = x.shape
        factor = c["stem_stride"]
        return x.reshape(b, c["out_channels"], factor, n).transpose(2, 3).reshape(b, c["out_channels"], n * factor)


def works(path, device, wrap=lambda function: function):
    """The training step and the denoiser call, each returning its loss, and the two uncompiled."""
    tensors, config = load(path)
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    inputs = taken(tensors, "input.")
    x, target, time = inputs["x"], inputs["target"], inputs["time"]
    classes = inputs["classes"].long()

    def loss_of(network):
        return lambda: (network(x, time, classes) - target).square().mean()

    plain = loss_of(Unet(config, tensors))
    fixed = wrap(plain)

    def forward():
        with torch.inference_mode():
            return fixed().item()

    trained = {name: tensor.clone() for name, tensor in tensors.items()}
    train = steps(trained, wrap(loss_of(Unet(config, trained))), clip=1.0)

    def operations():
        """GFLOP of the forward pass and of forward and backward pass, products and convolutions alone."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as forward_count, torch.no_grad():
            plain()
        with FlopCounterMode(display=False) as train_count:
            loss_of(Unet(config, trained))().backward()
        return {"forward": forward_count.get_total_flops() / 1e9, "train": train_count.get_total_flops() / 1e9}

    return train, forward, operations


def on_device(device, path, engine, allow_tf32):
    """Serves both works on a device by name."""
    torch.backends.cuda.matmul.allow_tf32 = allow_tf32
    torch.backends.cudnn.allow_tf32 = allow_tf32
    idle_kib = worker.reset_peak_kib()
    train, forward, operations = works(path, device, torch.compile if engine == "compile" else lambda f: f)
    about = {"gflop": operations()} if engine == "eager" else {}
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None

    def device_mb():
        if not device.startswith("cuda"):
            return {}
        return {"device_mb": torch.cuda.max_memory_reserved() / 1e6}

    name = f"torch {torch.__version__} {engine}" + (" tf32" if allow_tf32 else "")
    worker.serve_by_name(name, idle_kib, {"train": train, "forward": forward}, wait, about, device_mb)


def main():
    if sys.argv[1] == "device":
        on_device(sys.argv[2], sys.argv[3], sys.argv[4], "tf32" in sys.argv[5:])
        return
    what, path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(threads)
    idle_kib = worker.reset_peak_kib()
    train, forward, _ = works(path, "cpu")
    worker.serve("torch " + torch.__version__, idle_kib, {"train": train, "forward": forward}[what])


if __name__ == "__main__":
    main()
