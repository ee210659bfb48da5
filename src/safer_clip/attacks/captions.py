"""Caption edits by greedy coordinate gradient: the gradient proposes tokens, the model decides.

After Zou et al., "Universal and transferable adversarial attacks on aligned language models" (arXiv 2307.15043), with one
edit a step instead of a suffix, and every proposal among the best evaluated instead of a random sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safer_clip.attacks.gradients import differentiate_texts, find_token_layer
from safer_clip.attacks.targets import Targets
from safer_clip.attacks.vocabulary import Tokens, Vocabulary
from safer_clip.models.dual_encoder import DualEncoder

_ROWS = 16
"""Captions whose gains are held at a time: each takes its length times the vocabulary."""


@dataclass(frozen=True)
class CaptionAttack:
    """What edits achieved.

    Attributes:
        margins: after at most so many edits, ``(edits + 1, n)``; row 0 is before the attack. Never falling.
        texts: the captions at the end.
        immovable: captions of which no edit survived being written and tokenised again.
    """

    margins: NDArray[np.float64]
    texts: list[str]
    immovable: int


@dataclass(frozen=True)
class _State:
    text: str
    tokens: Tokens
    margin: float
    stuck: bool = False
    moved: bool = False


def attack_captions(
    encoder: DualEncoder, captions: Sequence[str], targets: Targets, edits: int, candidates: int
) -> CaptionAttack:
    """Replace or append tokens, one a step, until a caption finds its target or its edits are spent.

    A result of ``k`` edits needs no search of its own: it is what stands after ``k`` steps.

    Args:
        encoder: the model under attack.
        captions: ``(n,)``.
        targets: one for each caption.
        edits: most tokens that may differ from the caption.
        candidates: proposals that are tried of a caption in a step: half replace a token, half append one.
    """
    vocabulary = Vocabulary.of(encoder)
    first = _judge(encoder, captions, targets, range(len(captions)))
    states = [_State(*row) for row in zip(captions, vocabulary.read(captions), first, strict=True)]
    history = [first]
    for _ in range(edits):
        active = [row for row, state in enumerate(states) if state.margin <= 0 and not state.stuck]
        if active:
            _step(encoder, vocabulary, states, active, targets, candidates)
        history.append([state.margin for state in states])
    immovable = sum(state.stuck and not state.moved for state in states)
    return CaptionAttack(np.asarray(history), [state.text for state in states], immovable)


def _step(
    encoder: DualEncoder,
    vocabulary: Vocabulary,
    states: list[_State],
    active: list[int],
    targets: Targets,
    candidates: int,
) -> None:
    """Give each active caption its best edit, in place; one that no edit brings nearer is stuck."""
    proposals, owners = propose_edits(
        encoder, vocabulary, [states[row].tokens for row in active], targets, active, candidates
    )
    written = vocabulary.write(proposals)
    kept = [index for index, text in enumerate(written) if text is not None]
    texts = [text for text in written if text is not None]
    margins = _judge(encoder, texts, targets, [owners[index] for index in kept])
    best: dict[int, tuple[float, int]] = {}
    for place, index in enumerate(kept):
        best[owners[index]] = max(best.get(owners[index], (-np.inf, 0)), (margins[place], -place))
    for row in active:
        margin, place = best.get(row, (-np.inf, 0))
        state = replace(states[row], moved=states[row].moved or row in best)
        if margin > state.margin:
            states[row] = replace(state, text=texts[-place], tokens=proposals[kept[-place]], margin=margin)
        else:
            states[row] = replace(state, stuck=True)


def propose_edits(
    encoder: DualEncoder,
    vocabulary: Vocabulary,
    contents: Sequence[Tokens],
    targets: Targets,
    owners: Sequence[int],
    candidates: int,
) -> tuple[list[Tokens], list[int]]:
    """Edits that a first-order estimate of the margin likes best.

    Args:
        encoder: the model.
        vocabulary: its words.
        contents: captions as tokens, ``(k,)``.
        targets: of all captions.
        owners: which target each caption aims at, ``(k,)``.
        candidates: of each caption.

    Returns:
        The edited tokens, and the owner of each.
    """
    edited: list[Tokens] = []
    found: list[int] = []
    for start in range(0, len(contents), _ROWS):
        rows, part = list(contents[start : start + _ROWS]), owners[start : start + _ROWS]
        longer = [([*row, vocabulary.placeholder], owner) for row, owner in zip(rows, part, strict=True)]
        longer = [(row, owner) for row, owner in longer if len(row) <= vocabulary.room]
        for texts, aims, last_only in ((rows, part, False), ([r for r, _ in longer], [o for _, o in longer], True)):
            if texts:
                gains = estimate_gains(encoder, vocabulary, texts, targets, aims)
                for row, owner, changes in zip(texts, aims, _choose(gains, texts, last_only, candidates // 2), strict=True):
                    edited += [[*row[:place], int(vocabulary.words[word]), *row[place + 1 :]] for place, word in changes]
                    found += [owner] * len(changes)
    return edited, found


def estimate_gains(
    encoder: DualEncoder,
    vocabulary: Vocabulary,
    contents: Sequence[Tokens],
    targets: Targets,
    owners: Sequence[int],
) -> Tensor:
    """First-order change of each caption's margin by putting each word at each place.

    Returns:
        ``(k, longest, words)``; minus infinity for the word that stands there.
    """
    inputs = {name: part.to(encoder.model.device) for name, part in vocabulary.frame(contents).items()}
    aims = torch.tensor(owners, device=encoder.model.device)
    tokens, gradients = differentiate_texts(encoder, inputs, lambda queries: targets.measure_margins(queries, aims))
    start, longest = len(vocabulary.before), max(map(len, contents))
    inside = slice(start, start + longest)
    words = vocabulary.words.to(encoder.model.device)
    table = find_token_layer(encoder).weight.detach()[words]
    gradients, tokens = gradients[:, inside], tokens[:, inside]
    gains: Tensor = gradients @ table.T - (gradients * tokens).sum(dim=-1, keepdim=True)
    return gains.masked_fill(inputs["input_ids"][:, inside, None] == words, -torch.inf)


def _choose(gains: Tensor, contents: Sequence[Tokens], last_only: bool, count: int) -> list[list[tuple[int, int]]]:
    """The most promising places and words of each caption; ``last_only`` looks at the place of its last token alone."""
    chosen = []
    for row, content in enumerate(contents):
        first = len(content) - 1 if last_only else 0
        inside = gains[row, first : len(content)]
        values, flat = inside.flatten().topk(min(count, inside.numel()))
        changes = [divmod(int(place), inside.shape[1]) for place in flat[values > -torch.inf].tolist()]
        chosen.append([(first + place, word) for place, word in changes])
    return chosen


def _judge(encoder: DualEncoder, texts: Sequence[str], targets: Targets, owners: Sequence[int]) -> list[float]:
    """Margins of captions as the model itself reads them."""
    if not texts:
        return []
    queries = torch.from_numpy(encoder.encode_texts(texts)).to(targets.gallery.device)
    found: list[float] = targets.measure_margins(queries, torch.tensor(owners, device=targets.gallery.device)).tolist()
    return found
