"""TimeVQVAE (release 1.0.1) in PyTorch: signals as codes and back, and the transformers that fill in hidden codes."""

import torch
import torch.nn.functional as F

from stored import Params

HEAD_WIDTH = 64


class Normalized:
    """Batch normalizations with running statistics of their own."""

    def __init__(self):
        self.running, self.is_training = {}, False

    def norm(self, p, x):
        start = (torch.zeros(x.shape[1]), torch.ones(x.shape[1]))
        mean, variance = self.running.setdefault(p.prefix, start)
        return F.batch_norm(x, mean, variance, p.get("weight"), p.get("bias"), self.is_training, 0.1, 1e-5)


def snake(p, x):
    a = p.get("a")
    return x + (x * a).sin().square() / a


class Codes(Normalized):
    """Stage 1."""

    def __init__(self, config, codebooks):
        super().__init__()
        self.c = config["network"]
        self.sizes = dict(zip("lh", config["latent_sizes"]))
        self.codebooks = Params(codebooks)
        self.window = torch.hann_window(self.c["n_fft"])

    def convolution(self, p, x, **options):
        return F.conv2d(x, p.weight(), p.get("bias"), **options)

    def transposed(self, p, x, **options):
        return F.conv_transpose2d(x, p.weight(), p.get("bias"), **options)

    def depthwise(self, p, x):
        return self.convolution(p, x, padding=(p.weight().shape[2] // 2, 1), groups=x.shape[1])

    def down(self, p, x):
        rows = p.at("0").weight().shape[2] // 2
        x = F.pad(x, (1, 1, rows, rows), mode="replicate")
        x = self.convolution(p.at("1"), self.convolution(p.at("0"), x, stride=(1, 2), groups=x.shape[1]))
        return snake(p.at("3"), self.norm(p.at("2"), x))

    def double(self, p, x):
        """Twice the width by a kernel for each channel or by one for all, then a mixture of the channels."""
        first = p.at("0")
        weight = first.weight()
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = self.transposed(first, x, stride=(1, 2), padding=(weight.shape[2] // 2, 1), groups=groups)
        return self.transposed(p.at("1"), x)

    def residual(self, p, x):
        around = x if p.get("proj.weight") is None else self.convolution(p.at("proj"), x)
        p = p.at("convs")
        x = self.convolution(p.at("2"), self.depthwise(p.at("1"), snake(p.at("0"), x)))
        x = self.depthwise(p.at("5"), snake(p.at("4"), self.norm(p.at("3"), x)))
        return around + self.convolution(p.at("6"), x)

    def coder(self, p, x, is_encoder):
        """The blocks of an encoder or a decoder, each known by its arrays."""
        at = 0
        while True:
            q = p.at(str(at))
            if q.get("convs.0.a") is not None:
                x = self.residual(q, x)
            elif q.get("block.3.a") is not None:
                q = q.at("block")
                x = self.down(q, x) if is_encoder else snake(q.at("3"), self.norm(q.at("2"), self.double(q, x)))
            elif q.get("0.weight") is not None:
                x = self.double(q, x)
            else:
                return x
            at += 1

    def spectrogram(self, x):
        n_fft = self.c["n_fft"]
        s = torch.stft(x.flatten(0, 1), n_fft, n_fft // 4, window=self.window, normalized=True, return_complex=True)
        return torch.view_as_real(s).permute(0, 3, 1, 2).reshape(len(x), -1, *s.shape[1:])

    def signal(self, spectrogram):
        n_fft, length = self.c["n_fft"], self.c["length"]
        s = spectrogram.reshape(-1, 2, *spectrogram.shape[2:]).permute(0, 2, 3, 1).contiguous()
        x = torch.istft(torch.view_as_complex(s), n_fft, n_fft // 4, window=self.window, normalized=True)
        return F.interpolate(x.reshape(len(spectrogram), -1, x.shape[1]), size=length, mode="linear")

    def among_zeros(self, rows, band):
        """The rows of a band in a spectrogram whose others are 0."""
        missing = self.c["n_fft"] // 2 + 1 - rows.shape[2]
        return F.pad(rows, (0, 0, 0, missing) if band == "l" else (0, 0, missing, 0))

    def quantize(self, p, latent, band):
        book = self.codebooks.at(f"vq_model_{band}._codebook")
        rows = p.linear("project_in", latent.flatten(2).transpose(1, 2).flatten(0, 1))
        embed = book.get("embed")
        nearest = (embed.square().sum(dim=1) - 2 * rows.detach() @ embed.T).argmin(dim=1)
        entries = embed[nearest]
        commitment = (entries - rows).square().mean()
        through = p.linear("project_out", rows + (entries - rows).detach())
        self.follow(book, rows.detach(), nearest)
        return through.reshape(len(latent), -1, through.shape[1]), commitment

    def follow(self, book, rows, nearest):
        """Moves a codebook towards what has fallen on its entries."""
        size, average = book.get("cluster_size"), book.get("embed_avg")
        size.lerp_(torch.bincount(nearest, minlength=len(size)).to(size.dtype), 0.2)
        average.lerp_(torch.zeros_like(average).index_add_(0, nearest, rows), 0.2)
        total = size.sum()
        smoothed = (size + 1e-5) / (total + len(size) * 1e-5) * total
        book.tensors[book.prefix + "embed"] = average / smoothed[:, None]

    def decode(self, p, latent, band):
        """Signals of a latent `[batch, position, width]`."""
        rows, columns = self.sizes[band]
        latent = latent.transpose(1, 2).reshape(len(latent), -1, rows, columns)
        decoded = self.coder(p.at(f"decoder_{band}.decoder"), latent, False)
        return self.signal(self.among_zeros(decoded, band))

    def loss(self, weights, x):
        p, spectrogram, total = Params(weights), self.spectrogram(x), 0
        for band in "lh":
            rows = spectrogram[:, :, :1] if band == "l" else spectrogram[:, :, 1:]
            target = self.signal(self.among_zeros(rows, band))
            latent = F.normalize(self.coder(p.at(f"encoder_{band}.encoder"), rows, True), dim=1)
            latent, commitment = self.quantize(p.at(f"vq_model_{band}"), latent, band)
            error = self.decode(p, latent, band) - target
            total = total + commitment + (error.square().mean() if band == "l" else error.abs().mean())
        return total

    def signals(self, weights, batch):
        """Signals of codes of both bands."""
        p = Params(weights)
        total = 0
        for band in "lh":
            entries = self.codebooks.get(f"vq_model_{band}._codebook.embed")[batch[f"tokens.{band}"].long()]
            latent = p.linear(f"vq_model_{band}.project_out", entries)
            total = total + self.decode(p, latent, band)
        return total


class Prior(Normalized):
    """Stage 2, on [batch, position, feature]."""

    def __init__(self, config):
        super().__init__()
        self.c = config["network"]

    def layer_norm(self, p, x, weight=None, eps=1e-5):
        return F.layer_norm(x, x.shape[2:], p.get("weight") if weight is None else weight, p.get("bias"), eps)

    def attend(self, p, x, heads):
        """Queries and keys are directions; beside those of the positions there is a learned key and value."""

        def split(x):
            return x.unflatten(2, (heads, HEAD_WIDTH)).transpose(1, 2)

        x = self.layer_norm(p.at("norm"), x)
        q = split(p.linear("to_q", x))
        k, v = (split(part) for part in p.linear("to_kv", x).chunk(2, dim=2))
        learned = p.get("null_kv")[:, None].expand(2, len(x), heads, 1, HEAD_WIDTH)
        k, v = torch.cat([learned[0], k], dim=2), torch.cat([learned[1], v], dim=2)
        q, k = F.normalize(q, dim=3) * p.get("q_scale"), F.normalize(k, dim=3) * p.get("k_scale")
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.layer_norm(p.at("norm_out"), p.linear("to_out", y))

    def feed_forward(self, p, x):
        x = F.gelu(p.linear("1", self.layer_norm(p.at("0"), x)))
        return p.linear("4", self.layer_norm(p.at("3"), x, p.at("3").weight()))

    def projected(self, p, low):
        """The low band's features at the positions of the high."""
        x = F.interpolate(low.transpose(1, 2), size=self.c["positions"][1], mode="nearest")
        x = self.norm(p.at("2"), F.gelu(p.conv("0", x, padding=3)))
        return p.conv("3", x, padding=6, dilation=2).transpose(1, 2)

    def logits(self, weights, classes, low, high=None):
        band = 0 if high is None else 1
        p, c = Params(weights, f"transformer_{'lh'[band]}."), self.c["transformers"][band]
        x = F.embedding(low, p.get("tok_emb_l.weight"))
        if high is not None:
            x = torch.cat([self.projected(p.at("projector.conv"), x), F.embedding(high, p.get("tok_emb_h.weight"))], 2)
        x = x + p.get("pos_emb.weight")[: x.shape[1]]
        x = torch.cat([F.embedding(classes, p.get("class_condition_emb.weight"))[:, None], x], dim=1)
        x = p.linear("proj_in", x)
        for layer in range(c["layers"]):
            q = p.at(f"blocks.layers.{layer}")
            x = x + self.attend(q.at("0"), x, c["heads"])
            x = x + self.feed_forward(q.at("1"), x)
        p = p.at("pred_head")
        x = self.layer_norm(p.at("2"), F.gelu(p.linear("0", x)), eps=1e-12)
        return p.linear("3", x[:, 1:])

    def loss(self, weights, batch):
        classes, low, high = (batch[name].long() for name in ["classes", "tokens.l", "tokens.h"])
        hidden = [batch[name] == 0 for name in ["shown.l", "shown.h"]]
        masked = [torch.where(at, n, codes) for at, n, codes in zip(hidden, self.c["codes"], [low, high])]
        of_low = self.logits(weights, classes, masked[0])
        of_high = self.logits(weights, classes, low, masked[1])
        return sum(F.cross_entropy(of[at], codes[at]) for of, at, codes in zip([of_low, of_high], hidden, [low, high]))
