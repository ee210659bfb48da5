"""Choosing the benchmark from the pairs that are good enough: pure and deterministic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from safer_clip.benchmark.settings import SelectionSettings
from safer_clip.miniature.dice import Dice


@dataclass(frozen=True, slots=True)
class Eligible:
    """A pair that passed every filter."""

    id: str
    category: str
    similarity: float


def share_places(available: Mapping[str, int], size: int) -> dict[str, int]:
    """Divide places as evenly as the categories' supplies allow; what one cannot fill goes to the others.

    Places that cannot be divided evenly go to the first categories by name.
    """
    level = 0
    while sum(min(count, level + 1) for count in available.values()) <= size and level < max(available.values(), default=0):
        level += 1
    places = {name: min(available[name], level) for name in sorted(available)}
    left = min(size, sum(available.values())) - sum(places.values())
    for name in [name for name in places if available[name] > level][:left]:
        places[name] += 1
    return places


def select_pairs(eligible: Sequence[Eligible], settings: SelectionSettings, seed: int) -> list[Eligible]:
    """Choose pairs by chance within each category, and only as far above the floor as the target mean asks for.

    Args:
        eligible: pairs that passed the filters.
        settings: the wanted size, balance and mean.
        seed: of the choice.

    Returns:
        At most ``settings.size`` pairs in the order of ``eligible``. Among the choices of full size, the one of the lowest
        bar whose mean similarity reaches the target; if none does, the closest pairs of each category.
    """
    order = {each.id: Dice("selection", seed, each.id).between(0, 2**40) for each in eligible}
    wanted = min(settings.size, len(eligible))
    chosen = _choose(eligible, settings, order)
    if settings.target is not None and chosen and _mean(chosen) < settings.target:
        chosen = _raise_bar(eligible, settings, order, wanted)
    kept = {each.id for each in chosen}
    return [each for each in eligible if each.id in kept]


def _raise_bar(
    eligible: Sequence[Eligible], settings: SelectionSettings, order: Mapping[str, int], wanted: int
) -> list[Eligible]:
    bars = sorted({each.similarity for each in eligible})
    low, high = 0, len(bars) - 1
    target = settings.target or 0.0
    while low < high:  # the lowest bar that reaches the target, or else the highest that leaves enough pairs
        middle = (low + high) // 2
        left = [each for each in eligible if each.similarity >= bars[middle]]
        if len(left) < wanted or _mean(_choose(left, settings, order)) >= target:
            high = middle
        else:
            low = middle + 1
    left = [each for each in eligible if each.similarity >= bars[low]]
    if len(left) >= wanted and _mean(found := _choose(left, settings, order)) >= target:
        return found
    closest = {each.id: rank for rank, each in enumerate(sorted(eligible, key=lambda each: -each.similarity))}
    return _choose(eligible, settings, closest)


def _choose(eligible: Sequence[Eligible], settings: SelectionSettings, order: Mapping[str, int]) -> list[Eligible]:
    groups: dict[str, list[Eligible]] = defaultdict(list)
    for each in sorted(eligible, key=lambda each: order[each.id]):
        groups[each.category if settings.balanced else ""].append(each)
    places = share_places({name: len(group) for name, group in groups.items()}, settings.size)
    return [each for name, group in groups.items() for each in group[: places[name]]]


def _mean(chosen: Sequence[Eligible]) -> float:
    return fmean(each.similarity for each in chosen)
