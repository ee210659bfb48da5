"""Captions as tokens that an attack may change, and back as words that really tokenise so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safer_clip.attacks.gradients import find_token_layer
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.preparation import Inputs, Preparation

Tokens = list[int]
_SAMPLE = "a"


@dataclass(frozen=True)
class Vocabulary:
    """What a caption may be edited with.

    Attributes:
        preparation: the model's tokenizer and layout of texts.
        words: ids of the tokens that stand by themselves, in rising order: special tokens are none of them.
        placeholder: of the words, the one whose embedding is nearest their mean; it holds the place of a word to append.
        before: special tokens that every text begins with.
        after: special tokens that every text ends with.
    """

    preparation: Preparation
    words: Tensor
    placeholder: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def of(cls, encoder: DualEncoder) -> Vocabulary:
        """Find a model's words: ids that are decoded to a text which is tokenised to that id again."""
        preparation = encoder.preparation
        words = torch.tensor(_find_words(preparation.tokenizer))
        table = find_token_layer(encoder).weight.detach()
        embedded = table[words.to(table.device)].float()
        placeholder = int(words[int((embedded - embedded.mean(dim=0)).norm(dim=1).argmin())])
        return cls(preparation, words, placeholder, *_find_frame(preparation.tokenizer))

    @property
    def room(self) -> int:
        """Most tokens of a caption beside the special ones."""
        return self.preparation.context - len(self.before) - len(self.after)

    def read(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of each text without special ones, as far as the model reads."""
        found = self.preparation.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [list(tokens[: self.room]) for tokens in found]

    def write(self, tokens: Sequence[Tokens]) -> list[str | None]:
        """The text of each row of tokens, or None where that text would be tokenised otherwise."""
        if not tokens:
            return []
        texts = self.preparation.tokenizer.batch_decode(tokens)
        return [text if again == own else None for text, again, own in zip(texts, self.read(texts), tokens, strict=True)]

    def frame(self, tokens: Sequence[Tokens]) -> Inputs:
        """The model's inputs for rows of tokens: special tokens around them, padded as its texts are."""
        rows = [[*self.before, *row, *self.after] for row in tokens]
        length = self.preparation.context if self.preparation.family.fixed_length else max(map(len, rows))
        pad = self.preparation.tokenizer.pad_token_id
        ids = torch.tensor([row + [pad] * (length - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
        wanted = self.preparation.prepare_texts([_SAMPLE])
        return {name: part for name, part in {"input_ids": ids, "attention_mask": mask}.items() if name in wanted}


def _find_words(tokenizer: Any) -> list[int]:
    special = set(tokenizer.all_special_ids)
    ids = [token for token in range(len(tokenizer)) if token not in special]
    texts = tokenizer.batch_decode([[token] for token in ids])
    again = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [token for token, found in zip(ids, again, strict=True) if list(found) == [token]]


def _find_frame(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    whole, plain = tokenizer(_SAMPLE)["input_ids"], tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return tuple(whole[:start]), tuple(whole[start + len(plain) :])
