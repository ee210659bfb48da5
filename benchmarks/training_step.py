"""Time a training step against the published Safe-CLIP loop and against the floor, side by side in one run.

    python benchmarks/training_step.py [--quick] --output FILE

A full-size ViT-B/32 with random weights trains on 16 quadruplets a step, whose pictures are 640 x 480 JPEG files read by the
package's own loader. Three contenders take turns, step by step:

- ``ours``: what ``safer-clip train`` runs, inside ``transformers.Trainer``: reading the files, both encoders, the SafeR-CLIP
  objective, backward, clipping, optimizer;
- ``safe_clip_loop``: the published Safe-CLIP loop (github.com/aimagelab/safe-clip, ``training/train.py``) written anew:
  frozen copies of both encoders run on the safe items in every step, texts are padded to the context, safe and unsafe items
  go through the encoders one after the other. Its pictures come from the same loader, so that only the step differs;
- ``floor``: forward and backward of both adapted encoders on the batch that ``ours`` has just seen, and nothing else.

The loader runs in the main process, so that no contender reads ahead in another's time. Peak memory is taken in a fresh
process for each contender.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, TrainerCallback

from safer_clip.batches import Collator, OrderedQuadruplets, ReferenceRows, split_reference
from safer_clip.config import TrainConfig
from safer_clip.curriculum import order_training
from safer_clip.data import read_quadruplets
from safer_clip.environment import describe_hardware, describe_versions
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.files import write_json
from safer_clip.methods import METHODS
from safer_clip.miniature import load_tokenizer
from safer_clip.miniature.splits import draw_pairs
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.lora import add_adapters
from safer_clip.objectives import Reference, SafeClipObjective, Sides
from safer_clip.pairing import pair_nearest
from safer_clip.tuning import build_trainer

BATCH_SIZE = 16
ROWS = 64
PHOTO = (640, 480)
WARM_UP = 2
CONTENDERS = ("ours", "safe_clip_loop", "floor")


@dataclass(frozen=True)
class World:
    """Everything that the contenders share: files, a model, and invented reference embeddings, whose values cost no time."""

    table: Any
    encoder: DualEncoder
    reference: ReferenceRows


def build_world(folder: Path) -> World:
    """Write photo-size pictures and a table, and build a ViT-B/32 with random weights."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    captions = draw_pairs("mini_visu", "train", ROWS)
    with (folder / "quadruplets.jsonl").open("w") as file:
        for index, pair in enumerate(captions):
            names = {f"{side}_image": f"{index}-{side}.jpg" for side in ("safe", "unsafe")}
            for name in names.values():
                # coarse noise, enlarged: compresses to about the size of a photo
                coarse = draw.integers(0, 256, (PHOTO[1] // 8, PHOTO[0] // 8, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize(PHOTO, Image.Resampling.BICUBIC).save(folder / name, quality=90)
            row = {"id": str(index), "safe_caption": pair.safe_caption, "unsafe_caption": pair.unsafe_caption}
            file.write(json.dumps(row | names) + "\n")
    tokenizer = load_tokenizer()
    tokenizer.model_max_length = 77
    config = CLIPConfig()
    config.text_config.eos_token_id = tokenizer.eos_token_id  # pooling looks for it
    encoder = DualEncoder(CLIPModel(config).train(False), tokenizer, CLIPImageProcessorPil())
    sides = [draw.standard_normal((ROWS, config.projection_dim)).astype(np.float32) for _ in range(4)]
    embeddings = QuadrupletEmbeddings(*(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides))
    pairing = pair_nearest(embeddings.unsafe_text, embeddings.safe_text)
    return World(read_quadruplets(folder).table, encoder, ReferenceRows(embeddings, pairing))


def build_safe_clip_step(world: World) -> Callable[[], None]:
    """One step of the published loop, with reading its batch."""
    frozen = copy.deepcopy(world.encoder.model).train(False)
    model = add_adapters(copy.deepcopy(world.encoder.model), METHODS["safe_clip"].lora, seed=0).train()
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)
    objective = SafeClipObjective()
    batches = _read_batches(world)

    def embed_text(encoder: Any, captions: list[str]) -> torch.Tensor:
        tokens = world.encoder.tokenizer(captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return torch.nn.functional.normalize(encoder.get_text_features(**tokens).pooler_output, dim=-1)

    def embed_image(encoder: Any, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(encoder.get_image_features(pixels).pooler_output, dim=-1)

    def step() -> None:
        items = next(batches)
        safe_texts, unsafe_texts = ([item["captions"][half] for item in items] for half in (0, 1))
        safe_pixels, unsafe_pixels = (
            torch.stack([item["images"][half]["pixel_values"] for item in items]) for half in (0, 1)
        )
        safe_text, unsafe_text = embed_text(model, safe_texts), embed_text(model, unsafe_texts)
        with torch.no_grad():
            text, image = embed_text(frozen, safe_texts), embed_image(frozen, safe_pixels)
        trained = Sides(safe_text, unsafe_text, embed_image(model, safe_pixels), embed_image(model, unsafe_pixels))
        terms = objective(trained, Reference(Sides(text, text, image, image), text, image))
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()

    return step


def _read_batches(world: World) -> Iterator[list[dict[str, Any]]]:
    order = order_training(np.zeros(ROWS, np.float32), 1, BATCH_SIZE, 0, ())
    rows = OrderedQuadruplets(world.table, order, world.encoder.preparation)
    for start in itertools.cycle(range(0, ROWS, BATCH_SIZE)):
        yield rows.__getitems__(list(range(start, start + BATCH_SIZE)))


class TakeTurns(TrainerCallback):
    """Times our step from the end of the last turn to its own end, then gives every rival a turn."""

    def __init__(self, rivals: dict[str, Callable[[], None]]) -> None:
        self.rivals = rivals
        self.seconds: dict[str, list[float]] = {name: [] for name in ("ours", *rivals)}
        self.begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Start the clock for the first step; later ones start where the rivals ended, and so count reading their batch."""
        self.begun = self.begun or time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Stop our clock and let the rivals run."""
        self.seconds["ours"].append(time.perf_counter() - self.begun)
        for name, step in self.rivals.items():
            begun = time.perf_counter()
            step()
            self.seconds[name].append(time.perf_counter() - begun)
        self.begun = time.perf_counter()


def build_ours(world: World, folder: Path, steps: int) -> Any:
    """The trainer that ``safer-clip train`` builds."""
    config = TrainConfig(
        model="random", data="photos", output=folder, batch_size=BATCH_SIZE, epochs=steps, max_steps=steps, curriculum=()
    ).resolve()
    order = order_training(world.reference.pairing.cosines, steps, BATCH_SIZE, 0, ())
    encoder = DualEncoder(copy.deepcopy(world.encoder.model), world.encoder.tokenizer, world.encoder.processor)
    return build_trainer(encoder, world.table, world.reference, order, config)


def build_floor(trainer: Any) -> Callable[[], None]:
    """Forward and backward of our model on the batch that it has just trained on."""
    seen: list[dict[str, torch.Tensor]] = []
    compute = trainer.compute_terms

    def remember(model: Any, inputs: Any) -> Any:
        seen[:] = [split_reference(inputs)[0]]
        return compute(model, inputs)

    trainer.compute_terms = remember

    def step() -> None:
        output = trainer.model(**seen[0])
        torch.stack([output.text_embeds.sum(), output.image_embeds.sum()]).sum().backward()
        trainer.model.zero_grad()

    return step


def time_steps(steps: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of every step of every contender; the warm-up is left out."""
    world = build_world(folder)
    trainer = build_ours(world, folder / "ours", steps + WARM_UP)
    turns = TakeTurns({"safe_clip_loop": build_safe_clip_step(world), "floor": build_floor(trainer)})
    trainer.add_callback(turns)
    trainer.run()
    return {name: seconds[WARM_UP:] for name, seconds in turns.seconds.items()}


def measure_peak(contender: str, folder: str, answer: Any) -> None:
    """Run two steps of one contender and tell the process's peak memory in MiB."""
    _be_quiet()
    world = build_world(Path(folder))
    if contender == "safe_clip_loop":
        step = build_safe_clip_step(world)
        world.encoder.model.to("meta")  # the loop keeps two models, not three
        step(), step()
    elif contender == "floor":
        model = add_adapters(world.encoder.model, METHODS["safer_clip"].lora, seed=0).train()
        given, _ = split_reference(Collator(world.encoder.preparation, world.reference)(next(_read_batches(world))))
        for _ in range(2):
            output = model(**given)
            torch.stack([output.text_embeds.sum(), output.image_embeds.sum()]).sum().backward()
    else:
        trainer = build_ours(world, Path(folder) / "ours", 2)
        world.encoder.model.to("meta")
        trainer.run()
    answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure_peaks() -> dict[str, float]:
    """Peak memory of each contender in a process of its own, MiB."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for contender in CONTENDERS:
        with tempfile.TemporaryDirectory() as folder:
            answer = context.Queue()
            process = context.Process(target=measure_peak, args=(contender, folder, answer))
            process.start()
            peaks[contender] = round(answer.get(timeout=600))
            process.join()
    return peaks


def summarize(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Median ratios of the same turn, with the quartiles of the turns as their spread."""
    ours = seconds["ours"]
    result: dict[str, Any] = {"spread": {}}
    for key, rival in (("vs_safe_clip_loop", "safe_clip_loop"), ("vs_floor", "floor")):
        ratios = [theirs / own for theirs, own in zip(seconds[rival], ours, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        result[key] = round(middle, 4)
        result["spread"][key] = {
            "quartiles": [round(low, 4), round(high, 4)],
            "turns": [round(ratio, 4) for ratio in ratios],
        }
    return result


def _be_quiet() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning)


def main() -> None:
    """Run the benchmark and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="6 turns instead of 20")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    _be_quiet()
    peaks = measure_peaks()  # first: Linux counts what the parent held before as the child's
    with tempfile.TemporaryDirectory() as folder:
        seconds = time_steps(6 if options.quick else 20, Path(folder))
    result = {
        **summarize(seconds),
        "median_seconds": {name: round(statistics.median(each), 4) for name, each in seconds.items()},
        "samples_per_second": {name: round(BATCH_SIZE / statistics.median(each), 3) for name, each in seconds.items()},
        "peak_memory_mib": peaks,
        "model": "ViT-B/32, random weights, fp32",
        "batch_size": BATCH_SIZE,
        "pictures": f"JPEG {PHOTO[0]}x{PHOTO[1]}",
        "versions": describe_versions(),
        "hardware": describe_hardware(),
    }
    write_json(options.output, result)
    json.dump(
        {key: result[key] for key in ("vs_safe_clip_loop", "vs_floor", "median_seconds", "peak_memory_mib")}, sys.stdout
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
