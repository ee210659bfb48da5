"""The whole training job: read, encode the reference, pair, train, merge, write."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ValidationError

from safer_clip.batches import Collator, OrderedQuadruplets, ReferenceRows
from safer_clip.checkpoints import find_checkpoint
from safer_clip.config import DataConfig, TrainConfig, method_of
from safer_clip.curriculum import CurriculumOrder, TrainingOrder, order_training
from safer_clip.editing.base import measure_change
from safer_clip.errors import ConfigError, list_fields
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.files import prepare_output, write_bytes, write_json
from safer_clip.hyperbolic import bound_traversal, enter_hyperbolic
from safer_clip.labels import read_labels, tell_unlabelled
from safer_clip.memory import return_freed_blocks
from safer_clip.methods import EditMethod, PairingName, build_edit, build_objective, find_trained
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.features import read_plainly, read_through
from safer_clip.models.lora import (
    MODALITIES,
    add_adapters,
    checkpoint_activations,
    measure_drift,
    merge_adapters,
    scale_adapters,
    towers_of,
)
from safer_clip.models.parameters import count_parameters
from safer_clip.models.similarity import COSINE
from safer_clip.models.sources import locate_model
from safer_clip.objectives.base import SIDES, TargetFinder
from safer_clip.pairing import PAIRINGS, Pairing, pair_nearest
from safer_clip.processes import has_accelerator, join_processes
from safer_clip.reference import check_cosine, find_absent, find_sides, load_reference
from safer_clip.trainer import SafetyTrainer, TrainingProgress

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.data import ReadResult

TRAINING_FILE = "training.json"
RUN_FILE = "run.json"
LARGE_MODEL = 50_000_000
MINIATURES = {"miniature": "mini_visu", "miniature-v2": "mini_visu_v2"}


@dataclass(frozen=True)
class TunedModel:
    """What training or editing gives back.

    Attributes:
        encoder: the tuned model, adapters merged.
        progress: losses and drift by epoch; an edit has no losses and one drift.
        pairing: what each row was redirected to.
        seconds: wall-clock time of the loop, or of the edit.
        settings: those that influence the weights.
        steps: optimizer steps; 0 for an edit.
        edits: figures that an edit tells of itself.
    """

    encoder: DualEncoder
    progress: TrainingProgress
    pairing: Pairing
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    edits: dict[str, float] = field(default_factory=dict)


def load_encoder(model: str) -> DualEncoder:
    """Load a model by its folder, by its name on the hub, or the miniature; raises as :func:`locate_model` and ``load``."""
    return DualEncoder.load(locate_model(model))


def read_data(config: DataConfig) -> ReadResult:
    """Read what a configuration names, with the report of what was found.

    Raises:
        DataError: lists all problems of the input.
        ConfigError: a folder belongs to another kind of input.
    """
    from safer_clip.data import ColumnMap, ReadOptions, read_quadruplets

    return read_quadruplets(
        config.data,
        image_root=config.image_root,
        columns=ColumnMap(**config.columns) if config.columns else None,
        coco_root=config.coco_root,
        unsafe_root=config.unsafe_root,
        options=ReadOptions(max_bad_rows=config.max_bad_rows, taxonomy=config.taxonomy, split=config.split),
    )


def load_data(config: DataConfig) -> Dataset:
    """Read a table of quadruplets, pictures or none; of the names in :data:`MINIATURES` the training set.

    Raises:
        DataError: lists all problems of the input.
    """
    if config.data in MINIATURES:
        from safer_clip.miniature import load_split

        return load_split(MINIATURES[config.data], "train", config.rows)
    table = read_data(config).table
    return table.select(range(min(config.rows, len(table)))) if config.rows else table


def pair_rows(reference: QuadrupletEmbeddings, name: PairingName) -> Pairing:
    """Pair by the name of a pairing.

    Raises:
        ConfigError: there are no captions, or no pictures for a pairing that compares them.
    """
    if not reference.has("unsafe_text"):
        raise ConfigError(
            "a vision half has no captions to pair by; train the whole model with towers=[vision], then export"
        )
    return PAIRINGS[name](reference)


def train(config: TrainConfig, progress: Callable[[str], None] | None = None, resume: bool = False) -> TunedModel:
    """Run a training job, or an edit, from files to files.

    Writes the tuned model as an ordinary ``transformers`` folder into ``config.output``, with ``adapter/``, ``reference/``,
    ``checkpoints/`` and ``training.json`` inside.

    Started by ``torchrun`` or ``accelerate launch``, each process trains on every so-many-th batch; the first one writes.

    Args:
        config: resolved settings.
        progress: told what happens, a sentence at a time.
        resume: go on from the last whole checkpoint of ``config.output``.

    Raises:
        ConfigError: the output is in use, settings and data do not fit, or a run is resumed with other settings.
        DataError: lists all problems of the data.
        TrainingError: an adapter gets no gradient, or the loss is not finite or explodes.
    """
    processes = join_processes()
    tell = progress if progress and processes.is_main_process else _say_nothing
    config = config.resolve()
    output = config.output
    if processes.is_main_process:
        prepare_output(output, overwrite=resume)
    table = load_data(config)
    encoder = load_encoder(config.model)
    absent = find_absent(table)
    if processes.is_main_process:
        _settle_run(config, resume)  # not before all inputs are known to be fine: a mended input finds the folder empty
    if absent:
        tell(f"The data have no {' and no '.join(absent)}: terms that need them are left out")
    if len(encoder.modalities) == 1:
        tell(f"{config.model} is a {encoder.modalities[0]} half: terms that need the other one are left out")
    if unlabelled := tell_labels(config, table):
        tell(unlabelled)
    tell(f"Read {len(table)} quadruplets; encoding them with the frozen model")
    with processes.main_process_first():  # the others map what the first one has encoded
        reference = load_reference(encoder, table, output / "reference")
    tuned = tune(encoder, table, reference, config, checkpoint=find_checkpoint(output / "checkpoints") if resume else None)
    done = "Trained" if tuned.steps else "Edited"
    tell(f"{done} for {tuned.seconds:.0f} s; writing the model to {output}")
    if processes.is_main_process:
        write_tuned(tuned, config)
    processes.wait_for_everyone()
    return tuned


def tell_labels(config: TrainConfig, table: Dataset) -> str | None:
    """A sentence on labels that the data lack, if the method needs any."""
    method = method_of(config)
    needed = not isinstance(method, EditMethod) and build_objective(method, config.objective).needs_labels
    return tell_unlabelled(table) if needed else None


def _say_nothing(_: str) -> None:
    return None


def _settle_run(config: TrainConfig, resume: bool) -> None:
    """Keep a run's settings from its first moment, and refuse to go on with other ones."""
    path = config.output / RUN_FILE
    wanted = config.model_dump(mode="json", exclude={"output", "save_every", "workers"})
    if resume and path.is_file():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(name for name in wanted | earlier if wanted.get(name) != earlier.get(name))
        if changed:
            told = [f"  {name}: {earlier.get(name)} then, {wanted.get(name)} now" for name in changed]
            raise ConfigError("\n".join([f"{config.output} cannot be resumed with other settings:", *told]))
    write_json(path, wanted)


def write_tuned(tuned: TunedModel, config: TrainConfig) -> TrainingRecord:
    """Write a tuned model as an ordinary ``transformers`` folder into ``config.output``; returns its ``training.json``."""
    tuned.encoder.save(config.output)
    record = record_training(tuned, config)
    write_json(config.output / TRAINING_FILE, record.model_dump(mode="json"))
    return record


@dataclass(frozen=True)
class TrainingPlan:
    """What a training job would do.

    Attributes:
        table: quadruplets that were read.
        steps: optimizer steps; 0 for a method that trains nothing.
        rows_by_epoch: rows that each epoch trains on.
    """

    table: Dataset
    steps: int
    rows_by_epoch: tuple[int, ...]


def plan_training(config: TrainConfig) -> TrainingPlan:
    """Read and check all inputs of a training job, and lay out its steps, without running it.

    Weights are not read. Raises as :func:`train`.
    """
    config = config.resolve()
    DualEncoder.check(locate_model(config.model))
    table = load_data(config)
    find_sides(table)
    if isinstance(method_of(config), EditMethod):
        return TrainingPlan(table, 0, ())
    order = order_training(np.zeros(len(table), np.float32), *_schedule(config))
    ends = (0, *order.epoch_ends)
    rows = tuple((end - start) * order.batch_size for start, end in itertools.pairwise(ends))
    steps = math.ceil(order.steps / (config.accumulation * join_processes().num_processes))
    return TrainingPlan(table, min(steps, config.max_steps or steps), rows)


def write_pairing(model: str, data: DataConfig, output: Path) -> float:
    """Write the nearest-safe pairing of a table as JSON lines, and return its mean cosine.

    Only captions are looked at, so pictures may be absent. Raises as :func:`load_data` does.
    """
    table = load_data(data)
    encoder = load_encoder(model)
    check_cosine(encoder, "pairing needs")
    pairing = pair_nearest(encoder.encode_texts(table["unsafe_caption"]), encoder.encode_texts(table["safe_caption"]))
    ids = table["id"]
    lines = (
        json.dumps({"id": own, "target_id": ids[int(target)], "cosine": round(float(cosine), 6)}, ensure_ascii=False)
        for own, target, cosine in zip(ids, pairing.targets, pairing.cosines, strict=True)
    )
    write_bytes(output, ("\n".join(lines) + "\n").encode())
    return float(pairing.cosines.mean())


def tune(
    encoder: DualEncoder,
    table: Dataset,
    reference: QuadrupletEmbeddings,
    config: TrainConfig,
    checkpoint: Path | None = None,
) -> TunedModel:
    """Train adapters on a model, which is **changed in place**, and merge them; or edit it, if the method trains nothing.

    Args:
        encoder: the pre-trained model.
        table: quadruplets with all pictures.
        reference: the frozen model's embeddings of the table.
        config: resolved settings; ``model`` and ``data`` are not looked at.
        checkpoint: a folder to go on from.

    Raises:
        ConfigError: there are too few rows for a batch, or no layer has an adapter's name.
        TrainingError: see :func:`train`.
    """
    config = config.resolve()
    pairing = pair_rows(reference, config.pairing or "own")
    if isinstance(method := method_of(config), EditMethod):
        return _edit(method, encoder, table, ReferenceRows(reference, pairing), config)
    encoder = enter_space(encoder, table, config)
    order = order_training(pairing.cosines, *_schedule(config))
    trainer = build_trainer(encoder, table, ReferenceRows(reference, pairing), order, config)
    trainer.check_gradients()
    begun = time.perf_counter()
    trainer.run(checkpoint)
    seconds = time.perf_counter() - begun
    adapted: Any = trainer.model
    if config.strength != 1:
        scale_adapters(adapted, config.strength)
        drift = measure_drift(adapted)
        trainer.progress.drift[-1] = (drift["text"], drift["vision"])
    if trainer.args.should_save:
        adapted.save_pretrained(config.output / "adapter")
    merged = merge_adapters(adapted).train(False)
    read_plainly(merged)
    encoder = replace(encoder, model=merged)
    if encoder.similarity != COSINE:
        encoder = bound_traversal(encoder, table)
    return TunedModel(encoder, trainer.progress, pairing, seconds, config.describe(), trainer.state.global_step)


def enter_space(encoder: DualEncoder, table: Dataset, config: TrainConfig) -> DualEncoder:
    """The model with the similarity that its method trains: the cosine as it is, or hyperbolic distance.

    Raises:
        ConfigError: see :func:`~safer_clip.methods.build_objective`.
    """
    method = find_trained(config.method)
    if method.space == "cosine":
        return encoder
    objective: Any = build_objective(method, config.objective)
    return enter_hyperbolic(encoder, table, objective.curvature)


def _edit(
    method: EditMethod, encoder: DualEncoder, table: Dataset, reference: ReferenceRows, config: TrainConfig
) -> TunedModel:
    begun = time.perf_counter()
    edited = build_edit(method, config.objective)(encoder, table, reference)
    seconds = time.perf_counter() - begun
    drift = measure_change(encoder.model, edited.encoder.model)
    progress = TrainingProgress(drift=[(drift["text"], drift["vision"])])
    return TunedModel(edited.encoder, progress, reference.pairing, seconds, config.describe(), edits=edited.told)


def build_trainer(
    encoder: DualEncoder, table: Dataset, reference: ReferenceRows, order: TrainingOrder, config: TrainConfig
) -> SafetyTrainer:
    """Add adapters to the model, in place, and build the trainer; ``config`` is resolved."""
    from transformers import TrainingArguments

    if config.lora is None or config.learning_rate is None or config.batch_size is None:
        raise ConfigError("settings are not resolved; call TrainConfig.resolve() first")
    if config.gradient_checkpointing:
        checkpoint_activations(encoder.model)
    if not has_accelerator() and _is_large(encoder.model):
        return_freed_blocks()
    arguments = TrainingArguments(
        output_dir=str(config.output / "checkpoints"),
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        num_train_epochs=1,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        adam_beta2=0.98,
        bf16=config.precision == "bf16",
        use_cpu=not has_accelerator(),
        ddp_find_unused_parameters=False,
        seed=config.seed,
        save_strategy="steps" if config.save_every else "no",
        save_steps=config.save_every or 500,
        save_total_limit=2,
        logging_nan_inf_filter=False,
        logging_strategy="no",
        dataloader_num_workers=config.workers,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=None,
    )
    objective = build_objective(find_trained(config.method), config.objective)
    if objective.needs_labels:
        reference = replace(reference, labels=read_labels(table))
    if isinstance(objective, TargetFinder):
        reference = replace(reference, removals=objective.plan_removals(reference.embeddings, reference.pairing))
    present = {side for side in SIDES if len(getattr(reference.embeddings, side))}
    sides = [side for side in objective.sides if side in present and towers_of([side])[0] in config.towers]
    towers = towers_of(sides)
    if len(towers) == 1 or encoder.similarity != COSINE:
        read_through(encoder.model, [MODALITIES[tower] for tower in towers], encoder.similarity)
    return SafetyTrainer(
        objective=objective,
        sides=sides,
        order=order,
        model=add_adapters(encoder.model, config.lora, config.seed, towers),
        args=arguments,
        train_dataset=OrderedQuadruplets(table, order, encoder.preparation, sides),
        data_collator=Collator(encoder.preparation, reference),
    )


def _is_large(model: Any) -> bool:
    """Whether activations count in gigabytes; giving every block back would only slow down a small model."""
    return count_parameters(model) > LARGE_MODEL


class TrainingRecord(BaseModel):
    """What ``training.json`` says of how a model folder came about.

    Attributes:
        config: every setting, paths included.
        settings: those that influence the weights.
        seconds: wall-clock time of the loop.
        loss: mean of each weighted term in each epoch.
        drift: ``(text, vision)`` after each epoch.
        pairing_cosine: mean caption cosine of the pairs.
        steps: optimizer steps: 0 for a method that trains nothing, ``None`` in records that do not tell.
        edits: what such a method tells of its edit.
    """

    config: TrainConfig
    settings: dict[str, Any]
    seconds: float
    loss: list[dict[str, float]]
    drift: list[tuple[float, float]]
    pairing_cosine: float
    steps: int | None = None
    edits: dict[str, float] = {}


def read_training(folder: Path) -> TrainingRecord | None:
    """Read how a model folder was trained; ``None`` if this package did not train it.

    Raises:
        ConfigError: there is a record, but it cannot be understood.
    """
    path = folder / TRAINING_FILE
    if not path.is_file():
        return None
    try:
        return TrainingRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError("\n".join([f"{path} is no record of training:", *list_fields(error)])) from error


def find_base(folder: Path, base: str | None = None) -> str:
    """The pre-trained model of a tuned one: as given, or as the folder's ``training.json`` names it.

    Raises:
        ConfigError: neither says which it is.
    """
    if base:
        return base
    record = read_training(folder)
    if record is None:
        raise ConfigError(f"{folder} has no {TRAINING_FILE} that names its pre-trained model: name it with --base")
    return record.config.model


def _schedule(config: TrainConfig) -> tuple[int, int, int, tuple[float, ...], CurriculumOrder]:
    return config.epochs or 1, config.batch_size or 1, config.seed, config.curriculum or (), config.curriculum_order


def record_training(tuned: TunedModel, config: TrainConfig) -> TrainingRecord:
    """What is worth keeping of a training run."""
    return TrainingRecord(
        config=config,
        settings=tuned.settings,
        seconds=round(tuned.seconds, 2),
        loss=tuned.progress.losses,
        drift=tuned.progress.drift,
        pairing_cosine=float(tuned.pairing.cosines.mean()),
        steps=tuned.steps,
        edits=tuned.edits,
    )
