"""torchdistill's side: its distillation box and its loss, in the loop of its own examples.

    python torchdistill_side.py '{"student": ..., "teacher": ..., "examples": ...}'

Faster than most of its users have it: the pictures are normalised floats in memory, and a batch is
cut out of them at once (`__getitems__`) and not one picture at a time.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parent / "stub"))

import same
import torch
import torchvision.datasets  # noqa: F401  torchdistill looks it up in sys.modules
from torch.utils.data import Dataset, RandomSampler
from torchdistill.core.distillation import get_distillation_box
from torchdistill.datasets.registry import register_collate_func, register_dataset_wrapper
from torchdistill.misc.log import MetricLogger, SmoothedValue

LOGGED_EVERY = 100


@register_dataset_wrapper(key="whole_batches")
class WholeBatches(Dataset):
    """Pictures with their classes and nothing else, many at once."""

    def __init__(self, pictures):
        self.image, self.label = pictures

    def __len__(self):
        return len(self.image)

    def __getitems__(self, numbers):
        numbers = torch.tensor(numbers)
        return self.image[numbers], self.label[numbers], {}


@register_collate_func(key="as_it_is")
def as_it_is(batch):
    return batch


def box(asked, teacher, student):
    """Return its box, configured as in its examples of knowledge distillation."""
    image, label = (torch.from_numpy(column) for column in same.pictures(asked.examples))
    floats = image.permute(0, 3, 1, 2).float().div_(255).sub_(same.MEAN).div_(same.STD)
    config = {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "dataset_wrapper": {"key": "whole_batches"},
            "collate_fn": "as_it_is",
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {"batch_size": same.BATCH, "num_workers": 0},
        },
        "val_data_loader": {},
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {
            "key": "SGD",
            "kwargs": {
                "lr": same.LEARNING_RATE,
                "momentum": same.MOMENTUM,
                "weight_decay": same.WEIGHT_DECAY,
                "nesterov": True,
            },
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {
                "sub_terms": {
                    "kd": {
                        "criterion": {
                            "key": "KDLoss",
                            "kwargs": {
                                "student_module_path": ".",
                                "student_module_io": "output",
                                "teacher_module_path": ".",
                                "teacher_module_io": "output",
                                "temperature": same.TEMPERATURE,
                                "alpha": 1.0,
                                "beta": 1.0,
                                "reduction": "batchmean",
                            },
                        },
                        "weight": 1.0,
                    }
                }
            },
        },
    }
    device, data = torch.device("cpu"), {"train": (floats.contiguous(), label)}
    return get_distillation_box(teacher, student, data, config, device, None, False, 1.0)


def train_one_epoch(training, device, epoch, turns):
    """Learn as `train_one_epoch` of its examples does; only the turns are ours."""
    logger = MetricLogger(delimiter="  ")
    logger.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
    logger.add_meter("img/s", SmoothedValue(window_size=10, fmt="{value}"))
    header = f"Epoch: [{epoch}]"
    for batch, targets, supp in logger.log_every(training.train_data_loader, LOGGED_EVERY, header):
        training.pre_forward_process()
        start_time = time.time()
        sample_batch, targets = batch.to(device), targets.to(device)  # noqa: PLW2901
        loss = training.forward_process(sample_batch, targets=targets, supp_dict=supp)
        training.post_forward_process(loss=loss)
        logger.update(loss=loss.item(), lr=training.optimizer.param_groups[0]["lr"])
        logger.meters["img/s"].update(len(sample_batch) / (time.time() - start_time))
        turns.step_done()


def main():
    asked = SimpleNamespace(**json.loads(sys.argv[1]))
    same.one_thread()
    teacher, student = same.network(asked.teacher, seed=1), same.network(asked.student, seed=2)
    hello = {"weights": same.digest(teacher, student)}
    training = box(asked, teacher, student)
    training.teacher_model.eval()
    data = training.train_data_loader.dataset
    first, targets, supp = data.__getitems__(range(same.BATCH))
    training.pre_epoch_process(epoch=0)
    with torch.no_grad():
        hello["loss"] = training.forward_process(first, targets=targets, supp_dict=supp).item()
    hello["parameters"] = sum(p.numel() for p in student.parameters())
    train_one_epoch(training, torch.device("cpu"), 0, same.Turns(hello))


if __name__ == "__main__":
    main()
