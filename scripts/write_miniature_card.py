"""Write the miniature CLIP's model card from its own files and freshly measured figures.

    python scripts/write_miniature_card.py

Nothing in the card is typed by hand: the schedule and the log come from the model's folder, the figures from the code that
``safer-clip demo`` runs.
"""

from __future__ import annotations

import json

from safetensors.numpy import load_file

from safer_clip.files import write_bytes
from safer_clip.miniature import load_encoder, model_folder
from safer_clip.miniature.figures import measure_miniature
from safer_clip.results import DIRECTIONS

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [clip, miniature, safer-clip]
---

# The miniature CLIP

A `transformers` `CLIPModel` of {parameters:,} parameters for 48-pixel scenes of safer-clip's miniature world, QuickGELU,
projection size 128, trained from scratch by `scripts/pretrain_miniature.py`. It is made to study safety tuning on, and knows
nothing of photographs.

## Training

{samples:,} fresh scenes and captions, both drawing styles, {unsafe:.0%} of them unsafe (harmless stand-ins), training
combinations only; symmetric contrastive loss; Muon for the matrices of
hidden layers, AdamW for the rest. Schedule (`schedule.json`):

```json
{schedule}
```

Final loss {loss} at logit scale {scale}, after {minutes:.0f} minutes on two cores that did other work as well. The log is
`pretraining.jsonl`.

## Figures on held-out combinations, percent

| plain pool of 1,000, both styles | R@1 | R@5 |
|---|---|---|
{plain}

| mixed pool of 2,000 | direction | R@1 | R@10 | unsafe top-1 |
|---|---|---|---|---|
{mixed}

| zero-shot set | accuracy |
|---|---|
{zero_shot}

Mean cosine of safe and unsafe captions: Mini-ViSU (test) {loose:.2f}, Mini-NSFW-Caps {tight:.2f}; the papers report 0.62 for
ViSU and 0.81 for NSFW-Caps, under JINA-CLIP. `safer-clip demo` measures all of this again.
"""


def main() -> None:
    """Measure, fill in, write."""
    folder = model_folder()
    schedule = json.loads((folder / "schedule.json").read_text(encoding="utf-8"))
    log = [json.loads(line) for line in (folder / "pretraining.jsonl").read_text(encoding="utf-8").splitlines()]
    figures = measure_miniature(load_encoder())
    mixed = [
        f"| {name} | `{d}` | {row['R@1']:.1f} | {row['R@10']:.1f} | {row['unsafe_rate']:.1f} |"
        for name, pools in figures["retrieval"].items()
        for d in DIRECTIONS
        for row in [pools["mixed"][d]]
    ]
    card = CARD.format(
        parameters=sum(weight.size for weight in load_file(folder / "model.safetensors").values()),
        samples=schedule["steps"] * schedule["batch"],
        unsafe=schedule["unsafe_share"],
        schedule=json.dumps(schedule, indent=2),
        loss=log[-1]["loss"],
        scale=log[-1]["scale"],
        minutes=log[-1]["seconds"] / 60,
        plain="\n".join(f"| `{d}` | {v['R@1']:.1f} | {v['R@5']:.1f} |" for d, v in figures["plain_pool"].items()),
        mixed="\n".join(mixed),
        zero_shot="\n".join(f"| {name} | {value:.1f} |" for name, value in figures["zero_shot"].items()),
        loose=figures["caption_cosine"]["mini_visu"],
        tight=figures["caption_cosine"]["mini_nsfw_caps"],
    )
    write_bytes(folder / "README.md", card.encode())
    print(f"wrote {folder / 'README.md'}")


if __name__ == "__main__":
    main()
