"""The adversarial generators and their critic in PyTorch: losses of a step, and signals."""

import torch
import torch.nn.functional as F

from stored import Params

ENCODER = ["conv_1", "conv_2", "conv_3", "conv_4", "conv_5", "conv_6"]
# There is no fourth one.
DECODER = ["deconv_1", "deconv_2", "deconv_3", "deconv_5", "deconv_6", "deconv_7"]


class Generator:
    """Pulse2Pulse or WaveGAN*; those that are told labels are a layer shallower."""

    def __init__(self, config):
        strides = config["strides"]
        self.is_told = len(strides) == 5
        self.down = list(zip(ENCODER, strides))
        self.up = list(zip(DECODER[1:] if self.is_told else DECODER, reversed(strides)))
        self.is_unet = config["kind"].endswith("pulse2pulse")
        self.latent = config.get("latent")

    def steered(self, p, name, x, labels, is_training):
        """Batch normalization with gain and bias of the labels; running statistics are those of the start."""
        if not self.is_told:
            return x
        channels = x.shape[1]
        start = (None, None) if is_training else (torch.zeros(channels), torch.ones(channels))
        gain, bias = (labels @ p.get(f"bn_{name.replace('_', '')}.embed.weight"))[:, :, None].chunk(2, dim=1)
        return F.batch_norm(x, *start, training=is_training) * gain + bias

    def __call__(self, p, noise, labels, is_training):
        skips = []
        if self.is_unet:
            x = noise.reshape(len(noise), p.get("conv_1.weight").shape[1], -1)
            for name, stride in self.down:
                skips.append(x)
                x = F.leaky_relu(self.steered(p, name, p.conv(name, x, stride, 12), labels, is_training), 0.01)
            if self.is_told:
                # The first layer up joins the end of the encoder with itself, as the original does.
                skips = skips[1:] + [x]
        else:
            width = p.get(f"{self.up[0][0]}.conv1d.weight").shape[1]
            x = p.linear("fc1", noise.reshape(-1, self.latent))
            x = F.relu(x.reshape(len(noise), width, -1))
        for name, factor in self.up:
            has_skip = self.is_unet and name not in ("deconv_1", "deconv_7")
            x = torch.cat([x, skips.pop()], dim=1) if has_skip else x
            x = p.conv(f"{name}.conv1d", F.interpolate(x, scale_factor=factor, mode="nearest"), padding=12)
            x = self.steered(p, name, x, labels, is_training)
            x = torch.tanh(x) if name == "deconv_7" else F.relu(x)
        return x


def shuffled(x, shifts):
    """Each record moved in time by its shift, reflected at the ends."""
    last = x.shape[2] - 1
    source = (torch.arange(last + 1) - shifts[:, None]).abs()
    source = torch.where(source > last, 2 * last - source, source)
    return x.gather(2, source[:, None].expand_as(x))


class Critic:
    def __init__(self, config):
        self.strides = [2, 2, 2, 2, 4, 4, 4][: config["layers"]]
        self.slope = config["slope"]

    def __call__(self, p, x, shifts):
        for layer, stride in enumerate(self.strides):
            x = F.leaky_relu(p.conv(f"conv{layer + 1}", x, stride, 11), self.slope)
            if layer < len(shifts):
                x = shuffled(x, shifts[layer])
        return p.linear("fc1", x.flatten(1))


class Adversaries:
    """A generator, its critic, their weights and a batch."""

    def __init__(self, config, critic, generator, batch):
        self.generator, self.critic = Generator(config["network"]), Critic(config["critic"])
        self.of_critic, self.of_generator = critic, generator
        self.batch, self.penalty = batch, config["penalty"]

    def score(self, weights, x, scored):
        return self.critic(Params(weights), x, self.batch[f"shifts.{scored}"].long())

    def made(self, noise, is_training=True):
        return self.generator(Params(self.of_generator), self.batch[noise], self.batch.get("labels"), is_training)

    def critic_loss(self):
        with torch.no_grad():
            made = self.made("critic_noise")
        real, share = self.batch["real"], self.batch["share"]
        between = (real * share + made * (1 - share)).requires_grad_(True)
        score = self.score(self.of_critic, between, "between").sum()
        (gradient,) = torch.autograd.grad(score, between, create_graph=True)
        penalty = (gradient.square().sum(dim=(1, 2)).sqrt() - 1).square().mean() * self.penalty
        scores = [self.score(self.of_critic, x, name).mean() for x, name in [(made, "made"), (real, "real")]]
        return scores[0] - scores[1] + penalty

    def generator_loss(self):
        fixed = {name: weight.detach() for name, weight in self.of_critic.items()}
        return -self.score(fixed, self.made("generator_noise"), "generated").mean()
