"""What a training run will take, from a few batches that are really trained on the device at hand."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from safer_clip.batches import ReferenceRows
from safer_clip.config import TrainConfig
from safer_clip.curriculum import TrainingOrder
from safer_clip.errors import ConfigError
from safer_clip.memory import measure_peak
from safer_clip.models.parameters import count_parameters
from safer_clip.pairing import pair_own
from safer_clip.processes import has_accelerator
from safer_clip.reference import encode_table
from safer_clip.tuning import TrainingPlan, build_trainer, enter_space

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
    from safer_clip.models.dual_encoder import DualEncoder
    from safer_clip.trainer import SafetyTrainer

FEW, MORE = 2, 4
"""Quadruplets of the two batches that are measured where there is no accelerator; a larger one is drawn through them."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take on this device.

    Attributes:
        device: that was measured on.
        parameters: numbers of the model, and ``trained`` those of its adapters.
        memory: bytes at the peak of a training step: weights, adapters, optimizer and activations.
        encode_seconds: to encode the reference.
        train_seconds: to train all steps.
    """

    device: str
    parameters: int
    trained: int
    memory: int
    encode_seconds: float
    train_seconds: float


@dataclass(frozen=True)
class _Step:
    rows: int
    seconds: float
    memory: int


def estimate_training(encoder: DualEncoder, config: TrainConfig, plan: TrainingPlan) -> Estimate:
    """Encode a few rows and train on a few batches, and draw the rest from them; the model is **changed in place**.

    On an accelerator the whole batch is measured. Elsewhere two small ones are, in single precision, and time and memory are
    taken to grow evenly with the batch.

    Args:
        encoder: the pre-trained model.
        config: resolved settings.
        plan: gives the data, of which the first rows are used, and the number of steps.

    Raises:
        ConfigError: there are too few rows, or a batch does not fit into the accelerator's memory.
        TrainingError: see :func:`~safer_clip.tuning.train`.
    """
    size = config.batch_size or FEW
    sizes = (size,) if has_accelerator() else (FEW, MORE)
    if len(plan.table) < max(sizes):
        raise ConfigError(f"an estimate needs {max(sizes)} quadruplets, there are {len(plan.table)}")
    sample = plan.table.select(range(max(sizes)))
    parameters = count_parameters(encoder.model)
    begun = time.perf_counter()
    reference = encode_table(encoder, sample)
    encoding = (time.perf_counter() - begun) / len(sample) * len(plan.table)
    with tempfile.TemporaryDirectory() as folder:
        probe = config.model_copy(update={"output": Path(folder), "curriculum": (), "epochs": 1, "save_every": 0})
        trainer = _build(encoder, sample, reference, probe)
        steps = [_measure(trainer, rows, config.workers) for rows in sizes]
    adapted: Any = trainer.model
    trained = count_parameters(adapted, trained=True)
    held = 4 * (parameters + 4 * trained)  # adapters with their gradients and two moments, all in single precision
    seconds, memory = _extrapolate(steps, size)
    device = trainer.args.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return Estimate(name, parameters, trained, held + memory, encoding, seconds * config.accumulation * plan.steps)


def _extrapolate(steps: list[_Step], size: int) -> tuple[float, int]:
    last = steps[-1]
    if len(steps) == 1:
        return last.seconds, last.memory
    first = steps[0]
    growth = (last.memory - first.memory) / (last.rows - first.rows)
    return last.seconds / last.rows * size, round(last.memory + growth * (size - last.rows))


def _build(encoder: DualEncoder, sample: Dataset, reference: QuadrupletEmbeddings, config: TrainConfig) -> SafetyTrainer:
    order = TrainingOrder(np.arange(len(sample)), (1,), len(sample))
    pairing = pair_own(reference.unsafe_text, reference.safe_text)
    if not has_accelerator():
        config = config.model_copy(update={"precision": "fp32"})  # bf16 is far slower on a processor
    encoder = enter_space(encoder, sample, config)
    return build_trainer(encoder, sample, ReferenceRows(reference, pairing), order, config)


def _measure(trainer: SafetyTrainer, size: int, workers: int) -> _Step:
    """Train on a batch twice: the first one, which also warms up, gives the memory, the second one the time."""
    begun = time.perf_counter()
    batch = trainer.collate(range(size))
    reading = (time.perf_counter() - begun) / max(1, workers)
    device = trainer.args.device
    try:
        memory = measure_peak(lambda: trainer.try_batch(batch), device)
        begun = time.perf_counter()
        trainer.try_batch(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"a batch of {size} does not fit into the memory of {device}: lower batch_size and raise accumulation, "
            "or set gradient_checkpointing"
        ) from error
    computing = time.perf_counter() - begun
    return _Step(size, max(computing, reading) if workers else computing + reading, memory)
