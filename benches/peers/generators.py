"""Every generator of whole records in PyTorch, from the file that the example `generator_step` wrote.

    python generators.py train|forward FILE THREADS
    python generators.py exact FILE

`exact` prints the losses of the first training steps in double precision.
"""

import json
import sys

import torch

import worker
from denoisers import NETWORKS, Autoencoder
from gan import Adversaries
from stored import Params, load, steps, taken
from timevqvae import Codes, Prior


def denoiser(config, weights, batch):
    network, p = NETWORKS[config["network"]["kind"]](config["network"]), Params(weights)

    def error():
        return (network(p, batch["x"], batch["time"], batch["told"]) - batch["target"]).square().mean()

    def forward():
        network.prepare(p, batch["x"].shape[2])
        return error

    return lambda: training(config, weights, error), forward


def autoencoder(config, weights, batch):
    network, p = Autoencoder(config["network"]), Params(weights)

    def loss():
        return network.loss(p, batch["x"], batch["noise"], config["kl_weight"])

    return lambda: training(config, weights, loss), lambda: lambda: network.decode(p, batch["noise"]).square().mean()


def gan(config, weights, batch):
    critic, generator = taken(weights, "critic."), taken(weights, "generator.")
    both = Adversaries(config, critic, generator, batch)

    def train():
        judge, make = training(config, critic, both.critic_loss), training(config, generator, both.generator_loss)
        # No score of a made signal cancels in this.
        return lambda: judge() - make()

    return train, lambda: lambda: both.made("generator_noise", is_training=False).square().mean()


def codes(config, weights, batch):
    network = Codes(config, taken(weights, "buffer."))

    def train():
        network.is_training = True
        return training(config, weights, lambda: network.loss(weights, batch["x"]))

    return train, lambda: lambda: network.signals(weights, batch).square().mean()


def prior(config, weights, batch):
    network = Prior(config)

    def train():
        network.is_training = True
        return training(config, weights, lambda: network.loss(weights, batch))

    def forward():
        classes, low, high = (batch[name].long() for name in ["classes", "tokens.l", "tokens.h"])

        def both():
            of_low, of_high = network.logits(weights, classes, low), network.logits(weights, classes, low, high)
            return of_low.square().mean() + of_high.square().mean()

        return both

    return train, forward


def training(config, weights, loss):
    o = config["optimizer"]
    return steps(weights, loss, o["learning_rate"], o["weight_decay"], (o["beta1"], o["beta2"]), o["clip_norm"])


def work(what, path):
    """A training step or a pass, which returns its value."""
    weights, config = load(path)
    batch = taken(weights, "data.")
    stages = {"-autoencoder": autoencoder, "-prior": prior, "timevqvae": codes}
    make = next((make for end, make in stages.items() if config["name"].endswith(end)), None)
    make = make or (gan if "critic" in config else denoiser)
    train, forward = make(config, weights, batch)
    if what == "train":
        return train()
    with torch.no_grad():
        run = forward()

    def measured():
        with torch.inference_mode():
            return run().item()

    return measured


def main():
    what, path = sys.argv[1:3]
    if what == "exact":
        torch.set_default_dtype(torch.float64)
        step = work("train", path)
        print(json.dumps([step() for _ in range(worker.WARM_UP)]))
        return
    torch.set_num_threads(int(sys.argv[3]))
    idle_kib = worker.reset_peak_kib()
    worker.serve("torch " + torch.__version__, idle_kib, work(what, path))


if __name__ == "__main__":
    main()
