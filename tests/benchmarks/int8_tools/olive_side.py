"""Olive's side: where it finds network and pictures; read by Olive in its own environment."""

from pathlib import Path

import numpy as np
import torch
from olive.data.registry import Registry


class Pictures(torch.utils.data.Dataset):
    """Pictures as the network wants them, with their classes where those are known."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray):
        self.pictures, self.labels = torch.from_numpy(pictures), torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        return {"image": self.pictures[index]}, self.labels[index]


@Registry.register_dataset()
def pictures(folder: str, **_: object) -> Pictures:
    """Return the test pictures."""
    return Pictures(np.load(Path(folder, "test.npy")), np.load(Path(folder, "test_labels.npy")))


@Registry.register_dataset()
def calibration(folder: str, **_: object) -> Pictures:
    """Return the calibration pictures, for which no class is asked."""
    drawn = np.load(Path(folder, "calibration.npy"))
    return Pictures(drawn, np.zeros(len(drawn), np.int64))


@Registry.register_post_process()
def best(scores: torch.Tensor, **_: object) -> torch.Tensor:
    """Return the class with the highest score."""
    return scores.argmax(-1)


def network(path: str) -> torch.nn.Module:
    """Return the trained network; the file is this benchmark's own."""
    return torch.load(path, weights_only=False).eval()
