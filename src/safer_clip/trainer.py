"""The training loop: ``transformers.Trainer`` with a loss on embeddings, exact resume, and checks that stop a bad run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainerState

from safer_clip.batches import Batch, split_reference, split_sides
from safer_clip.checkpoints import LAST_FILE, load_optimizer, save_optimizer
from safer_clip.curriculum import TrainingOrder
from safer_clip.errors import SaferClipError
from safer_clip.files import write_json
from safer_clip.models.lora import measure_drift, tower_of, towers_of
from safer_clip.objectives import Objective, Terms
from safer_clip.objectives.base import SIDES, Side

PROGRESS_FILE = "progress.json"
_EXPLOSION = 20.0
_WATCH_FROM = 10


class TrainingError(SaferClipError):
    """Training cannot go on, or must not start."""


@dataclass
class TrainingProgress:
    """What a run has seen, kept with its checkpoints.

    Attributes:
        losses: mean of each weighted term in each finished epoch.
        drift: ``(text, vision)`` after each finished epoch.
        sums: sums of the terms in the current epoch, and ``batches`` their number.
        first_losses: of the first few batches, to tell an explosion by.
    """

    losses: list[dict[str, float]] = field(default_factory=list)
    drift: list[tuple[float, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    batches: int = 0
    first_losses: list[float] = field(default_factory=list)

    def add(self, terms: dict[str, float]) -> None:
        """Count one batch."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.batches += 1
        if len(self.first_losses) < _WATCH_FROM:
            self.first_losses.append(sum(terms.values()))

    def end_epoch(self, drift: tuple[float, float]) -> None:
        """Close an epoch."""
        self.losses.append({name: total / max(1, self.batches) for name, total in self.sums.items()})
        self.drift.append(drift)
        self.sums, self.batches = {}, 0

    def exploded(self, loss: float) -> bool:
        """Whether a loss is far above the first ones."""
        if len(self.first_losses) < _WATCH_FROM:
            return False
        return loss > _EXPLOSION * (1.0 + sum(self.first_losses) / _WATCH_FROM)


class SafetyTrainer(Trainer):
    """Trains adapters with an objective on embeddings.

    All epochs are one sequence of batches (:class:`~safer_clip.curriculum.TrainingOrder`), so that a step tells where a run
    is. Each step seeds dropout by itself: a run that was killed and resumed ends with the same bits on a CPU.
    """

    def __init__(self, *, objective: Objective, order: TrainingOrder, sides: Sequence[Side] = SIDES, **rest: Any) -> None:
        self.objective: Objective = objective
        self.sides = tuple(sides)
        self.progress = TrainingProgress()
        super().__init__(**rest)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over its batch, and averaged over accumulated ones
        batches = self.args.gradient_accumulation_steps * self.args.world_size
        ends = [math.ceil(end / batches) for end in order.epoch_ends]
        self.last_step = self.args.max_steps if self.args.max_steps > 0 else ends[-1]
        self.add_callback(_EpochEnds(self, ends))

    def run(self, checkpoint: Path | None = None) -> None:
        """Train to the last step, from a checkpoint if there is one.

        A checkpoint of the last step is only loaded: the base class would train one step more.
        """
        if checkpoint and TrainerState.load_from_json(str(checkpoint / LAST_FILE)).global_step >= self.last_step:
            self._load_from_checkpoint(str(checkpoint))
            self._load_progress(checkpoint)
        else:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """One forward of each encoder for safe and unsafe inputs together, then the objective."""
        terms = self.compute_terms(model, inputs)
        weighted = torch.stack(list(terms.values()))
        self._watch(dict(zip(terms, weighted.tolist(), strict=True)), inputs["rows"])
        return weighted.sum()

    def compute_terms(self, model: Any, inputs: Batch) -> Terms:
        """Weighted terms of a batch."""
        given, reference = split_reference(inputs)
        output = model(**given)
        text, image = (None if rows is None else rows.float() for rows in (output.text_embeds, output.image_embeds))
        terms = self.objective(split_sides(text, image, self.sides, len(inputs["rows"])), reference)
        if not terms:
            raise TrainingError(f"the objective has no term for data with {', '.join(self.sides)} alone")
        return terms

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Seed dropout by the step, then train on the batch."""
        batch = self.progress.batches + 100_003 * self.state.global_step
        torch.manual_seed((self.args.seed * 1_000_003 + batch) * 64 + self.args.process_index)
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def check_gradients(self) -> None:
        """Run one batch forward and backward, and refuse a set-up in which an adapter cannot learn.

        Raises:
            TrainingError: no adapter, or none of one encoder that the loss depends on, gets a gradient.
        """
        self.try_batch(next(iter(self.get_train_dataloader())))
        model: Any = self.model
        reached = {tower_of(n) for n, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}
        model.zero_grad()
        missing = set(towers_of(self.sides)) - reached
        if missing:
            raise TrainingError(
                f"no adapter of the {' and '.join(sorted(missing))} encoder gets a gradient; check the LoRA targets and "
                "rank, and that the objective's weights are not all zero"
            )

    def average_losses(self) -> None:
        """Let every process have the mean of what all of them summed up in this epoch."""
        if self.args.world_size > 1 and self.progress.sums:
            sums = torch.tensor(list(self.progress.sums.values()), device=self.args.device)
            means = self.accelerator.reduce(sums, "mean").tolist()
            self.progress.sums = dict(zip(self.progress.sums, means, strict=True))

    def collate(self, places: Sequence[int]) -> Batch:
        """The batch of these places in the training order."""
        rows: Any = self.train_dataset
        batch: Batch = self.data_collator(rows.__getitems__(list(places)))
        return batch

    def try_batch(self, batch: Batch) -> None:
        """Run a batch forward and backward as training would, and leave the gradients where they are."""
        model: Any = self.model
        model.train()
        with self.compute_loss_context_manager():
            terms = self.compute_terms(model, self._prepare_inputs(batch))
        torch.autograd.backward(torch.stack(list(terms.values())).sum())

    def _watch(self, values: dict[str, float], rows: torch.Tensor) -> None:
        total = sum(values.values())
        if not math.isfinite(total) or self.progress.exploded(total):
            told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            raise TrainingError(
                f"the loss is {total:.4g} at step {self.state.global_step + 1} ({told}); rows of the batch: "
                f"{rows.tolist()}. Lower learning_rate, or look at these rows; the last checkpoint is untouched"
            )
        self.progress.add(values)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(rows)  # they are in order already

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the adapters alone: the base class would pickle its arguments next to them."""
        if self.args.should_save:
            adapted: Any = self.model
            adapted.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
        elif self.args.should_save:
            save_optimizer(Path(output_dir), self.optimizer, self.lr_scheduler)
        if self.args.should_save:
            write_json(Path(output_dir) / PROGRESS_FILE, vars(self.progress))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
        else:
            load_optimizer(Path(checkpoint), self.optimizer, self.lr_scheduler)
        self._load_progress(Path(checkpoint))

    def _load_progress(self, checkpoint: Path) -> None:
        saved = json.loads((checkpoint / PROGRESS_FILE).read_text(encoding="utf-8"))
        saved["drift"] = [tuple(drift) for drift in saved["drift"]]
        self.progress = TrainingProgress(**saved)

    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing to save: every step seeds itself."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing to restore: every step seeds itself."""


class _EpochEnds(TrainerCallback):
    """Closes the curriculum's epochs, which are known by their step."""

    def __init__(self, trainer: SafetyTrainer, ends: list[int]) -> None:
        self.trainer = trainer
        self.ends = ends

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Measure the drift where an epoch ends, or the run does in the middle of one."""
        if state.global_step in self.ends or state.global_step == state.max_steps:
            drift = measure_drift(self.trainer.model)
            self.trainer.average_losses()
            self.trainer.progress.end_epoch((drift["text"], drift["vision"]))
