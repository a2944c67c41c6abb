"""Published networks of their full size with random weights, as torch.save writes them, and what they answer.

Usage: originals.py FOLDER. Writes NAME.pt and NAME.json {"inputs": {name: [shape, values]}, "output": [shape, values]} for
diffwave, pulse2pulse, wavegan-star and cond-pulse2pulse. The forward passes are written after the papers and the notes of the
parity fixtures: DiffWave (Kong et al. 2021, figure 2), Pulse2Pulse and WaveGAN* (Thambawita et al. 2021), the conditional form
(Alcaraz and Strodthoff 2023).
"""

import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F

STRIDES = [2, 5, 2, 5, 5, 5]


def random(shape, fan_in, generator):
    return torch.randn(shape, generator=generator) / math.sqrt(max(fan_in, 1))


def conv(state, name, n_in, n_out, kernel, generator, transposed=False):
    shape = (n_in, n_out, kernel) if transposed else (n_out, n_in, kernel)
    state[f"{name}.weight"] = random(shape, n_in * kernel, generator)
    state[f"{name}.bias"] = random((n_out,), 10, generator)


def linear(state, name, n_in, n_out, generator):
    state[f"{name}.weight"] = random((n_out, n_in), n_in, generator)
    state[f"{name}.bias"] = random((n_out,), 10, generator)


def diffwave_state(generator, width=64, layers=30):
    state = {}
    conv(state, "input_projection", 1, width, 1, generator)
    linear(state, "diffusion_embedding.projection1", 128, 512, generator)
    linear(state, "diffusion_embedding.projection2", 512, 512, generator)
    for layer in range(layers):
        name = f"residual_layers.{layer}"
        conv(state, f"{name}.dilated_conv", width, 2 * width, 3, generator)
        linear(state, f"{name}.diffusion_projection", 512, width, generator)
        conv(state, f"{name}.output_projection", width, 2 * width, 1, generator)
    conv(state, "skip_projection", width, width, 1, generator)
    conv(state, "output_projection", width, 1, 1, generator)
    return state


def diffwave(p, audio, step, cycle=10):
    at = lambda name: (p[f"{name}.weight"], p[f"{name}.bias"])
    angles = step[:, None] * 10.0 ** (torch.arange(64) * 4.0 / 63.0)
    told = torch.cat([angles.sin(), angles.cos()], 1)
    for name in ("projection1", "projection2"):
        told = F.silu(F.linear(told, *at(f"diffusion_embedding.{name}")))
    x = F.relu(F.conv1d(audio, *at("input_projection")))
    layers = sum(name.endswith("dilated_conv.weight") for name in p)
    skips = 0
    for layer in range(layers):
        name, dilation = f"residual_layers.{layer}", 2 ** (layer % cycle)
        y = x + F.linear(told, *at(f"{name}.diffusion_projection"))[:, :, None]
        gate, value = F.conv1d(y, *at(f"{name}.dilated_conv"), padding=dilation, dilation=dilation).chunk(2, 1)
        y = F.conv1d(gate.sigmoid() * value.tanh(), *at(f"{name}.output_projection"))
        residual, skip = y.chunk(2, 1)
        x, skips = (x + residual) / math.sqrt(2), skips + skip
    x = F.relu(F.conv1d(skips / math.sqrt(layers), *at("skip_projection")))
    return F.conv1d(x, *at("output_projection"))


def gan_layers(width, leads, is_told, has_skips):
    widths = [width // 5, width // 2, width, 3 * width, 5 * width, 5 * width]
    down = list(zip(range(1, 7), [leads, *widths[:-1]], widths))
    ends = [5 * width, 3 * width, width, width // 2, width // 5, leads]
    starts = [5 * width, *ends[:-1]]
    joined = [n * 2 if has_skips and 1 <= i <= 4 else n for i, n in enumerate(starts)]
    up = list(zip([1, 2, 3, 5, 6, 7], joined, ends))
    return (down[:5], up[1:]) if is_told else (down, up)


def gan_state(kind, generator, width=50, leads=8, labels=71):
    state = {}
    is_told = kind == "cond-pulse2pulse"
    down, up = gan_layers(width, leads, is_told, kind != "wavegan-star")
    if kind == "wavegan-star":
        linear(state, "fc1", 100, 10 * width, generator)
        down = []
    for number, n_in, n_out in down:
        conv(state, f"conv_{number}", n_in, n_out, 25, generator)
    for number, n_in, n_out in up:
        conv(state, f"deconv_{number}.conv1d", n_in, n_out, 25, generator)
        conv(state, f"deconv_{number}.Conv1dTrans", n_in, n_out, 25, generator, transposed=True)
    conv(state, "ppfilter1", leads, leads, 512, generator)
    if is_told:
        for name, channels in [(f"bn_conv{n}", c) for n, _, c in down] + [(f"bn_deconv{n}", c) for n, _, c in up]:
            state[f"{name}.embed.weight"] = 0.2 + 0.3 * torch.randn(labels, 2 * channels, generator=generator)
            state[f"{name}.bn.running_mean"] = 0.1 * torch.randn(channels, generator=generator)
            state[f"{name}.bn.running_var"] = 0.5 + torch.rand(channels, generator=generator)
            state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
    return state


def gan(kind, p, noise, labels=None):
    at = lambda name: (p[f"{name}.weight"], p[f"{name}.bias"])

    def steered(name, x):
        if labels is None:
            return x
        x = F.batch_norm(x, p[f"{name}.bn.running_mean"], p[f"{name}.bn.running_var"])
        gain, bias = (labels @ p[f"{name}.embed.weight"])[:, :, None].chunk(2, 1)
        return x * gain + bias

    skips = []
    if kind == "wavegan-star":
        x = F.relu(F.linear(noise, *at("fc1"))).reshape(len(noise), -1, 2)
        up = [1, 2, 3, 5, 6, 7]
    else:
        x, up = noise, [2, 3, 5, 6, 7] if labels is not None else [1, 2, 3, 5, 6, 7]
        for number, stride in zip(range(1, len(up) + 1), STRIDES):
            if labels is None:
                skips.append(x)
            x = steered(f"bn_conv{number}", F.conv1d(x, *at(f"conv_{number}"), stride=stride, padding=12))
            x = F.leaky_relu(x, 0.01)
            if labels is not None:
                skips.append(x)
    for place, number in enumerate(up):
        if kind != "wavegan-star" and number in (2, 3, 5, 6):
            x = torch.cat([x, skips.pop()], 1)
        factor = STRIDES[: len(up)][-1 - place]
        x = F.conv1d(x.repeat_interleave(factor, 2), *at(f"deconv_{number}.conv1d"), padding=12)
        x = steered(f"bn_deconv{number}", x)
        x = x.tanh() if number == 7 else x.relu()
    return x


def write(folder, name, wrapped, inputs, output):
    torch.save(wrapped, folder / f"{name}.pt")
    array = lambda x: [list(x.shape), x.flatten().tolist()]
    case = {"inputs": {key: array(value) for key, value in inputs.items()}, "output": array(output)}
    (folder / f"{name}.json").write_text(json.dumps(case))


def main():
    folder = pathlib.Path(sys.argv[1])
    generator = torch.Generator().manual_seed(1)
    uniform = lambda *shape: 2 * torch.rand(*shape, generator=generator) - 1
    state = diffwave_state(generator)
    audio, step = torch.randn(2, 1, 64, generator=generator), torch.tensor([3.0, 40.0])
    write(folder, "diffwave", {"step": 1, "model": state}, {"audio": audio, "step": step}, diffwave(state, audio, step))
    # 2,500 and 500 points are the shortest signals of these networks.
    for kind, noise in [
        ("pulse2pulse", uniform(1, 8, 2500)),
        ("wavegan-star", uniform(1, 100)),
        ("cond-pulse2pulse", uniform(1, 8, 500)),
    ]:
        state, inputs = gan_state(kind, generator), {"noise": noise}
        if kind == "cond-pulse2pulse":
            inputs["labels"] = torch.zeros(1, 71)
            inputs["labels"][0, [3, 40]] = 1.0
        wrapped = {"epoch": 9, "netG_state_dict": state, "netD_state_dict": {"fc1.bias": torch.zeros(1)}}
        write(folder, kind, wrapped, inputs, gan(kind, state, noise, inputs.get("labels")))


if __name__ == "__main__":
    with torch.no_grad():
        main()
