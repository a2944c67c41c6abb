"""The networks of the diffusion generators in PyTorch, and the autoencoder in whose latents one of them denoises.

Each is made from its configuration and called with parameters, noisy signals, times, and how much each label and each
row of the facts counts. `prepare` computes what depends on the weights alone, as a sampler does before its steps.
"""

import torch
import torch.nn.functional as F

from stored import attention, sines
from unet import Unet


def told(p, table, rows):
    """The sum of the embeddings of labels and facts."""
    labels = p.get(table + ".weight")
    n = labels.shape[0]
    return rows[:, :n] @ labels + rows[:, n:] @ p.get("facts_embedding.weight")


class Denoiser:
    def __init__(self, config):
        self.c = config

    def prepare(self, p, length):
        pass


class RecordUnet(Denoiser):
    """The U-Net of `unet.py`, told facts too, on signals filled up to a length that its levels can halve."""

    class Told(Unet):
        def rows(self, rows):
            n = self.c["classes"]
            labels = rows[:, :n]
            labels = torch.cat([labels, (labels == 0).all(dim=1, keepdim=True).to(labels.dtype)], dim=1)
            return labels @ self.p["classes_emb.weight"] + rows[:, n:] @ self.p["facts_embedding.weight"]

    def __call__(self, p, x, time, rows):
        length = x.shape[2]
        multiple = self.c["stem_stride"] << (len(self.c["multipliers"]) - 1)
        x = F.pad(x, (0, -length % multiple), mode="reflect")
        return self.Told(self.c, p.tensors)(x, time, rows)[:, :, :length]


class Diffwave(Denoiser):
    def __init__(self, config):
        super().__init__(config)
        # In single precision as published: rounding is part of the table.
        exponents = (torch.arange(64, dtype=torch.float64) * 4.0 / 63.0).float().double()
        frequencies = (10.0**exponents).float()
        angles = (torch.arange(config["steps"], dtype=torch.float32)[:, None] * frequencies).double()
        self.table = torch.cat([angles.sin(), angles.cos()], dim=1).float().to(torch.get_default_dtype())

    def step(self, p, time):
        low = time.floor()
        share = (time - low)[:, None]
        rows = self.table[low.long()] * (1 - share) + self.table[time.ceil().long()] * share
        return F.silu(p.linear("projection2", F.silu(p.linear("projection1", rows))))

    def __call__(self, p, x, time, rows):
        c = self.c
        step, labels = self.step(p.at("diffusion_embedding"), time), told(p, "label_embedding", rows)
        h = F.relu(p.conv("input_projection", x))
        skips = 0
        for layer in range(c["layers"]):
            q = p.at(f"residual_layers.{layer}")
            dilation = 2 ** (layer % c["dilation_cycle"])
            y = h + q.linear("diffusion_projection", step)[:, :, None]
            y = q.conv("dilated_conv", y, padding=dilation, dilation=dilation)
            opened, signal = (y + q.linear("label_projection", labels)[:, :, None]).chunk(2, dim=1)
            residual, skip = q.conv("output_projection", torch.sigmoid(opened) * torch.tanh(signal)).chunk(2, dim=1)
            h = (h + residual) * 0.5**0.5
            skips = skips + skip
        return p.conv("output_projection", F.relu(p.conv("skip_projection", skips * c["layers"] ** -0.5)))


class Sssd(Denoiser):
    """With diagonal state space layers (S4D), their kernels by Vandermonde products, applied in both directions."""

    def __init__(self, config):
        super().__init__(config)
        self.spectra = {}

    def prepare(self, p, length):
        for block in range(self.c["blocks"]):
            for layer in ["S41", "S42"]:
                q = p.at(f"residual_layer.residual_blocks.{block}.{layer}.s4d")
                self.spectra[q.prefix] = self.spectrum(q, length)

    def spectrum(self, p, length):
        pole = torch.complex(-p.get("log_decay").exp(), p.get("frequency"))
        step_pole = p.get("log_step").exp()[:, None] * pole
        c = torch.view_as_complex(p.get("c")) * ((step_pole.exp() - 1) / pole)
        powers = (step_pole[:, :, None] * torch.arange(length)).exp()
        kernels = 2 * torch.einsum("chn,hnl->chl", c, powers).real
        # The backward kernel acts from the sample after on; direct weights are lag 0.
        taps = F.pad(kernels[0], (0, length)) + F.pad(kernels[1].flip(-1), (length, 0))
        return torch.fft.rfft(taps, n=2 * length) + p.get("direct")[:, None]

    def state_space(self, p, x):
        q, length = p.at("s4d"), x.shape[2]
        spectrum = self.spectra.get(q.prefix)
        if spectrum is None:
            spectrum = self.spectrum(q, length)
        y = torch.fft.irfft(torch.fft.rfft(x, n=2 * length) * spectrum, n=2 * length)[:, :, :length]
        y = (x + q.conv("mix", F.gelu(y))).transpose(1, 2)
        norm = p.at("norm_layer")
        return F.layer_norm(y, y.shape[2:], norm.get("weight"), norm.get("bias"), 1e-5).transpose(1, 2)

    def __call__(self, p, x, time, rows):
        c = self.c
        step = F.silu(p.linear("residual_layer.fc_t1", sines(time, c["step_width"][0])))
        step = F.silu(p.linear("residual_layer.fc_t2", step))
        labels = told(p, "embedding", rows)
        h = F.relu(p.conv("init_conv.0.conv", x))
        skips = 0
        for block in range(c["blocks"]):
            q = p.at(f"residual_layer.residual_blocks.{block}")
            y = q.conv("conv_layer.conv", h + q.linear("fc_t", step)[:, :, None], padding=1)
            y = self.state_space(q.at("S41"), y) + q.linear("fc_label", labels)[:, :, None]
            signal, opened = self.state_space(q.at("S42"), y).chunk(2, dim=1)
            y = torch.tanh(signal) * torch.sigmoid(opened)
            h = (h + q.conv("res_conv", y)) * 0.5**0.5
            skips = skips + q.conv("skip_conv", y)
        skips = F.relu(p.conv("final_conv.0.conv", skips * c["blocks"] ** -0.5))
        return p.conv("final_conv.2.conv", skips)


def plain_norm(x, eps):
    return F.layer_norm(x, x.shape[2:], eps=eps)


class Dit(Denoiser):
    """On [batch, token, channel], the layout that PyTorch is fastest in."""

    def __init__(self, config):
        super().__init__(config)
        self.positions = None

    def prepare(self, p, length):
        tokens, half = length // self.c["patch"], self.c["width"] // 2
        angles = torch.arange(tokens)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.positions = torch.cat([angles.sin(), angles.cos()], dim=1)

    def block(self, p, x, step):
        c = self.c
        parts = p.linear("adaLN_modulation.1", step)[:, None].chunk(6, dim=2)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts
        qkv = p.linear("attn.qkv", plain_norm(x, 1e-6) * (1 + scale) + shift).chunk(3, dim=2)
        x = x + gate * p.linear("attn.proj", attention(*qkv, c["heads"]))
        y = F.gelu(p.linear("mlp.fc1", plain_norm(x, 1e-6) * (1 + mlp_scale) + mlp_shift))
        return x + mlp_gate * p.linear("mlp.fc2", y)

    def __call__(self, p, x, time, rows):
        c = self.c
        batch, channels, length = x.shape
        if self.positions is None:
            self.prepare(p, length)
        step = F.silu(p.linear("t_embedder.mlp.0", sines(time, c["time_width"])))
        step = F.silu(p.linear("t_embedder.mlp.2", step) + told(p, "y_embedder.embedding_table", rows))
        x = p.conv("x_embedder.proj", x, c["patch"]).transpose(1, 2) + self.positions
        for block in range(c["depth"]):
            x = self.block(p.at(f"blocks.{block}"), x, step)
        last = p.at("final_layer")
        shift, scale = last.linear("adaLN_modulation.1", step)[:, None].chunk(2, dim=2)
        x = last.linear("linear", plain_norm(x, 1e-6) * (1 + scale) + shift)
        # Channels of a token are its points in time, each with all leads.
        return x.reshape(batch, length, channels).transpose(1, 2)


class TemporalBlocks(Denoiser):
    def __call__(self, p, x, time, rows):
        c = self.c
        level = p.linear("level.2", F.silu(p.linear("level.0", sines(time, c["time_width"]))))
        level = F.silu(level + told(p, "label_embedding", rows))
        skips = 0
        # A first block of one tap, then two taps whose distance doubles.
        for block, (taps, dilation) in enumerate([(1, 1)] + [(2, 2**k) for k in range(c["max_degree"] + 1)]):
            q = p.at(f"tcn.{block}")
            x = x + p.linear(f"told.{block}", level)[:, :, None]
            y = x
            for name in ["net.0", "net.3"]:
                y = F.relu(q.conv(name, F.pad(y, ((taps - 1) * dilation, 0)), dilation=dilation))
            skips = skips + y
            x = F.relu(y + (x if q.get("downsample.weight") is None else q.conv("downsample", x)))
        return p.conv("last", x + skips)


class DiffusionTs(Denoiser):
    """On [batch, time, width]."""

    def step_norm(self, p, x, step):
        scale, shift = p.linear("linear", step)[:, None].chunk(2, dim=2)
        return plain_norm(x, 1e-5) * (1 + scale) + shift

    def attend(self, p, x, memory):
        q, k, v = p.linear("query", x), p.linear("key", memory), p.linear("value", memory)
        return p.linear("proj", attention(q, k, v, self.c["heads"]))

    def mlp(self, p, x):
        x = F.layer_norm(x, x.shape[2:], p.get("ln2.weight"), p.get("ln2.bias"), 1e-5)
        return p.linear("mlp.2", F.gelu(p.linear("mlp.0", x)))

    def encode(self, p, x, step):
        normed = self.step_norm(p.at("ln1"), x, step)
        x = x + self.attend(p.at("attn"), normed, normed)
        return x + self.mlp(p, x)

    def trend(self, p, x):
        """A cubic in time for each lead, `[batch, lead, time]`."""
        length = x.shape[1]
        times = torch.arange(1, length + 1) / (length + 1)
        powers = torch.stack([times, times**2, times**3])
        coefficients = p.conv("3", F.gelu(p.conv("0", x, padding=1)).transpose(1, 2), padding=1)
        return coefficients @ powers

    def season(self, x):
        """The strongest frequencies of each channel."""
        length = x.shape[1]
        bins = (length - 1) // 2
        spectrum = torch.fft.rfft(x, dim=1)
        strongest = spectrum[:, 1 : bins + 1].detach().abs().topk(int(torch.log(torch.tensor(float(bins)))), dim=1)
        mask = torch.zeros(spectrum.shape).scatter(1, strongest.indices + 1, 1.0)
        season = torch.fft.irfft(spectrum * mask, n=length, dim=1)
        return season if self.c.get("has_unit_seasons") else season * length

    def decode(self, p, x, memory, step):
        normed = self.step_norm(p.at("ln1"), x, step)
        x = x + self.attend(p.at("attn1"), normed, normed)
        x = x + self.attend(p.at("attn2"), self.step_norm(p.at("ln1_1"), x, step), memory)
        for_trend, for_season = p.conv("proj", x).chunk(2, dim=1)
        trend, season = self.trend(p.at("trend.trend"), for_trend), self.season(for_season)
        x = x + self.mlp(p, x)
        mean = x.mean(dim=1, keepdim=True)
        return x - mean, p.linear("linear", mean), trend, season

    def __call__(self, p, x, time, rows):
        c = self.c
        step = F.silu(sines(time, c["width"]) + told(p, "label_embedding", rows))
        p = p.at("model")
        embedded = p.conv("emb.sequential.1", x, padding=1).transpose(1, 2)
        memory = embedded + p.get("pos_enc.pe")
        for layer in range(c["encoder_layers"]):
            memory = self.encode(p.at(f"encoder.blocks.{layer}"), memory, step)
        x, means, trend, season = embedded + p.get("pos_dec.pe"), [], 0, 0
        for layer in range(c["decoder_layers"]):
            x, mean, of_trend, of_season = self.decode(p.at(f"decoder.blocks.{layer}"), x, memory, step)
            means.append(mean)
            trend, season = trend + of_trend, season + of_season
        # The mean of what is left belongs to the trend, so that its place in the sum does not matter.
        residual = p.conv("inverse.sequential.1", x.transpose(1, 2), padding=1)
        level = p.conv("combine_m", torch.cat(means, dim=1)).transpose(1, 2)
        margin = c["season_kernel"] // 2
        season = p.conv("combine_s", F.pad(season.transpose(1, 2), (margin, margin), mode="circular"))
        return level + trend + season + residual


NETWORKS = {
    "unet": RecordUnet,
    "diffwave": Diffwave,
    "sssd": Sssd,
    "dit": Dit,
    "temporal-blocks": TemporalBlocks,
    "diffusion-ts": DiffusionTs,
}


class Autoencoder:
    def __init__(self, config):
        self.c = config

    def norm(self, p, x):
        return F.group_norm(x, self.c["groups"], p.get("weight"), p.get("bias"), 1e-5)

    def block(self, p, x):
        y = p.conv("conv1", F.silu(self.norm(p.at("norm1"), x)), padding=1)
        y = p.conv("conv2", F.silu(self.norm(p.at("norm2"), y)), padding=1)
        return y + (x if p.get("direct.weight") is None else p.conv("direct", x))

    def middle(self, p, x):
        x = self.block(p.at("0"), x)
        q = p.at("attention")
        qkv = q.conv("qkv", self.norm(q.at("norm"), x)).transpose(1, 2).chunk(3, dim=2)
        x = x + q.conv("out", attention(*qkv, 1).transpose(1, 2))
        return self.block(p.at("1"), x)

    def level(self, p, x):
        return self.block(p.at("1"), self.block(p.at("0"), x))

    def encode(self, p, x):
        """Mean and logarithm of the variance of the latent."""
        p, last = p.at("encoder"), len(self.c["multipliers"]) - 1
        x = p.conv("in", x, padding=1)
        for level in range(last + 1):
            x = self.level(p.at(f"levels.{level}"), x)
            if level < last:
                x = p.conv(f"levels.{level}.down", x, 2, 1)
        x = F.silu(self.norm(p.at("norm"), self.middle(p.at("middle"), x)))
        mean, log_variance = p.conv("moments", p.conv("out", x, padding=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)

    def decode(self, p, z):
        p = p.at("decoder")
        x = self.middle(p.at("middle"), p.conv("in", p.conv("latent", z), padding=1))
        for level in reversed(range(len(self.c["multipliers"]))):
            x = self.level(p.at(f"levels.{level}"), x)
            if level > 0:
                x = p.conv(f"levels.{level}.up", F.interpolate(x, scale_factor=2, mode="nearest"), padding=1)
        return p.conv("out", F.silu(self.norm(p.at("norm"), x)), padding=1)

    def loss(self, p, x, noise, kl_weight):
        mean, log_variance = self.encode(p, x)
        error = self.decode(p, mean + (log_variance * 0.5).exp() * noise) - x
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=(1, 2))
        return (error.square().mean(dim=(1, 2)) + divergence * kl_weight / x[0].numel()).mean()
