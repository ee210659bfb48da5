"""Pre-train the miniature CLIP from scratch, and write it as an ordinary ``transformers`` model folder.

    python scripts/pretrain_miniature.py --output runs/clip

trains on fresh scenes of the *training* combinations, both styles, safe and unsafe alike, with the symmetric contrastive
loss. The run is seeded: the same seed, schedule and number of threads give bit-equal weights. It prints its log, keeps it in
``pretraining.jsonl``, and resumes from its last checkpoint when it is started again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.optim import Optimizer
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from muon import Muon
from safer_clip.miniature.captions import PRETRAINING_SAFE, PRETRAINING_UNSAFE, write_caption
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.places import SIZE
from safer_clip.miniature.rendering import render
from safer_clip.miniature.scenes import STYLES, Scene, draw_scene

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
CONTEXT = 24
PADDED = 20  # one caption in two thousand is longer and loses its last words; a fixed length compiles once


@dataclass(frozen=True)
class Schedule:
    """What determines a run: two runs with equal schedules give equal weights."""

    seed: int = 0
    steps: int = 4000
    batch: int = 256
    learning_rate: float = 4e-3
    warmup: int = 100
    weight_decay: float = 0.1
    unsafe_share: float = 0.4
    vision_width: int = 128
    vision_layers: int = 4
    text_width: int = 128
    text_layers: int = 3
    threads: int = 2
    compiled: bool = True


def draw_sample(seed: int, index: int, unsafe_share: float) -> tuple[Scene, str]:
    """The ``index``-th scene of the stream and its caption."""
    dice = Dice("pretraining", seed, index)
    scene = draw_scene(dice, dice.choose(STYLES), "train", dice.chance(unsafe_share))
    return scene, write_caption(scene, dice, PRETRAINING_UNSAFE if scene.unsafe else PRETRAINING_SAFE)


def train_tokenizer(schedule: Schedule, captions: int = 30_000) -> CLIPTokenizer:
    """Train a small CLIP-type BPE; the end token gets the highest id, as CLIP's pooling rule wants."""
    texts = [draw_sample(schedule.seed + 1_000_003, i, schedule.unsafe_share)[1] for i in range(captions)]
    backend = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    template = CLIPTokenizer()._tokenizer
    backend.normalizer, backend.pre_tokenizer = template.normalizer, template.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=1600,
        min_frequency=2,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    model = json.loads(backend.to_str())["model"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [tuple(merge) for merge in model["merges"]]
    tokens = dict.fromkeys([*alphabet, *(c + "</w>" for c in alphabet), *("".join(merge) for merge in merges)])
    vocabulary = {token: index for index, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def build_processor() -> CLIPImageProcessorPil:
    """Preprocessing of the miniature: 48-pixel pictures, normalised."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_mean=list(MEAN),
        image_std=list(STD),
    )


def build_model(schedule: Schedule, tokenizer: CLIPTokenizer) -> CLIPModel:
    """A fresh CLIP of the schedule's size, its weights drawn from the seed."""
    torch.manual_seed(schedule.seed)
    end = tokenizer.eos_token_id
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": schedule.text_width,
        "intermediate_size": 4 * schedule.text_width,
        "num_hidden_layers": schedule.text_layers,
        "num_attention_heads": schedule.text_width // 32,
        "max_position_embeddings": CONTEXT,
        "projection_dim": 128,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": end,
        "pad_token_id": end,
        "hidden_act": "quick_gelu",
    }
    vision = {
        "hidden_size": schedule.vision_width,
        "intermediate_size": 4 * schedule.vision_width,
        "num_hidden_layers": schedule.vision_layers,
        "num_attention_heads": schedule.vision_width // 32,
        "image_size": SIZE,
        "patch_size": 8,
        "projection_dim": 128,
        "hidden_act": "quick_gelu",
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def load_batch(step: int, schedule: Schedule, tokenizer: CLIPTokenizer) -> dict[str, torch.Tensor]:
    """Draw the batch of one step; it depends on nothing but the schedule and the step."""
    samples = [draw_sample(schedule.seed, step * schedule.batch + i, schedule.unsafe_share) for i in range(schedule.batch)]
    pixels = torch.from_numpy(np.stack([render(scene) for scene, _ in samples]))
    pixels = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN[0]) / STD[0]
    texts = tokenizer(
        [text for _, text in samples], padding="max_length", max_length=PADDED, truncation=True, return_tensors="pt"
    )
    return {
        "pixel_values": pixels,
        "input_ids": texts["input_ids"],
        "attention_mask": texts["attention_mask"],
    }


def contrastive_loss(model: CLIPModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Symmetric cross-entropy over the batch (CLIP, arXiv 2103.00020, figure 3)."""
    images = F.normalize(model.get_image_features(batch["pixel_values"]).pooler_output, dim=-1)
    texts = F.normalize(
        model.get_text_features(batch["input_ids"], attention_mask=batch["attention_mask"]).pooler_output,
        dim=-1,
    )
    logits = model.logit_scale.clamp(max=math.log(100)).exp() * texts @ images.T
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def learning_rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < schedule.warmup:
        return schedule.learning_rate * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def build_optimizers(model: CLIPModel, schedule: Schedule) -> tuple[Optimizer, Optimizer]:
    """Muon for the matrices of hidden layers and AdamW for the rest, embeddings among it."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name]
    chosen = {id(p) for p in hidden}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return (
        Muon(hidden, lr=schedule.learning_rate, weight_decay=schedule.weight_decay),
        torch.optim.AdamW(others, lr=schedule.learning_rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0),
    )


def save_state(path: Path, model: CLIPModel, optimizers: Sequence[Optimizer], step: int) -> None:
    """Write weights and moments as safetensors, atomically."""
    names = {id(p): name for name, p in model.named_parameters()}
    tensors = {f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}
    for optimizer in optimizers:
        for parameter, moments in optimizer.state.items():
            tensors |= {f"{key}.{names[id(parameter)]}": moments[key].contiguous() for key in moments if key != "step"}
    save_file(tensors, path.with_suffix(".tmp"), metadata={"step": str(step)})
    path.with_suffix(".tmp").replace(path)


def load_state(path: Path, model: CLIPModel, optimizers: Sequence[Optimizer]) -> int:
    """Restore what :func:`save_state` wrote and return the number of steps done."""
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(path)
    model.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model.")})
    names = {id(p): name for name, p in model.named_parameters()}
    muon, adam = optimizers
    for parameter in muon.param_groups[0]["params"]:
        muon.state[parameter] = {"mean": tensors[f"mean.{names[id(parameter)]}"]}
    for parameter in adam.param_groups[0]["params"]:
        moments = {key: tensors[f"{key}.{names[id(parameter)]}"] for key in ("exp_avg", "exp_avg_sq")}
        adam.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return step


def pretrain(schedule: Schedule, output: Path, save_every: int = 200) -> CLIPModel:
    """Run or resume the schedule and write the model folder."""
    torch.set_num_threads(schedule.threads)
    torch.use_deterministic_algorithms(True)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(schedule)
    model = build_model(schedule, tokenizer).train()
    optimizers = build_optimizers(model, schedule)
    state, log = output / "state.safetensors", output / "pretraining.jsonl"
    start = load_state(state, model, optimizers) if state.exists() else 0
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {len(tokenizer)} tokens, from step {start} of {schedule.steps}", flush=True)
    if schedule.compiled:
        model.vision_model.encoder.compile()
        model.text_model.encoder.compile()
    begun, running = time.time(), []
    drawing = ThreadPoolExecutor(max_workers=1)
    batch = drawing.submit(load_batch, start, schedule, tokenizer)
    for step in range(start, schedule.steps):
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = learning_rate(step, schedule)
        ready, batch = batch.result(), drawing.submit(load_batch, step + 1, schedule, tokenizer)
        loss = contrastive_loss(model, ready)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        running.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == schedule.steps:
            row = {
                "step": step + 1,
                "loss": round(sum(running) / len(running), 5),
                "scale": round(model.logit_scale.exp().item(), 2),
                "seconds": round(time.time() - begun, 1),
            }
            running = []
            print(row, flush=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if (step + 1) % save_every == 0 and step + 1 < schedule.steps:
            save_state(state, model, optimizers, step + 1)
    drawing.shutdown(cancel_futures=True)
    model.eval().save_pretrained(output)
    tokenizer.save_pretrained(output)
    build_processor().save_pretrained(output)
    (output / "schedule.json").write_text(json.dumps(asdict(schedule), indent=2) + "\n", encoding="utf-8")
    state.unlink(missing_ok=True)
    return model


def main() -> None:
    """Parse the schedule and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    for name, value in asdict(Schedule()).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=json.loads if isinstance(value, bool) else type(value), default=value
        )
    arguments = vars(parser.parse_args())
    output = arguments.pop("output")
    pretrain(Schedule(**arguments), output)


if __name__ == "__main__":
    main()
