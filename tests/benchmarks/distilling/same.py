"""What both sides of the comparison share: networks, weights, pictures, how a turn is timed."""

import hashlib
import json
import sys
import time

import numpy as np
import torch
from torch import nn

from edgekd.core.signature import Port, Signature
from edgekd.models.depthwise import Depthwise, depthwise
from edgekd.models.resnet import ResNet, resnet

BATCH, CLASSES, SIZE, TEMPERATURE = 64, 10, 32, 4.0
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 0.0005
MEAN, STD = 0.5, 0.25
SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 3, SIZE, SIZE)),),
    (Port("logits", "float32", ("batch", CLASSES)),),
)
KINDS = {"resnet": (ResNet, resnet), "depthwise": (Depthwise, depthwise)}


def network(options: dict, seed: int) -> nn.Module:
    """Return a network of edgekd's with the weights of a seed."""
    torch.manual_seed(seed)
    config, build = KINDS[options["kind"]]
    rest = {name: value for name, value in options.items() if name != "kind"}
    return build(config.model_validate(rest), SIGNATURE)


def pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random bytes [count, 32, 32, 3] and random classes."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return image, np.arange(count) % CLASSES


def digest(*modules: nn.Module) -> str:
    """Return a digest of all weights."""
    found = hashlib.sha256()
    for module in modules:
        for tensor in module.state_dict().values():
            found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def one_thread() -> None:
    """Compute in one thread."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)


class Turns:
    """Asks for orders between steps: 'so many more', and answers each with its CPU seconds."""

    def __init__(self, hello: dict):
        self.hello, self.left, self.began = hello, 0, None

    def step_done(self) -> bool:
        """Count a step; where the turn is over, say what it took and wait for the next."""
        self.left -= 1
        if self.left > 0:
            return False
        taken = None if self.began is None else time.process_time() - self.began
        print(json.dumps(self.hello if taken is None else taken), flush=True)
        order = sys.stdin.readline()
        if not order:
            sys.exit()
        self.left, self.began = int(order), time.process_time()
        return False
