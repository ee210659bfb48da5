"""Building a benchmark stage by stage; each stage goes on where a run that was killed left it.

What is slow or paid for goes to a journal item by item. Thresholds, selection and verdicts are applied to the journals at
the end, so that changing them costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safer_clip.benchmark.candidates import Captioned, CaptionedSet
from safer_clip.benchmark.choosing import Chooser, choose_candidates, sample_items
from safer_clip.benchmark.datasheet import write_datasheet
from safer_clip.benchmark.finishing import decide, find_text_reasons, write_benchmark
from safer_clip.benchmark.generators import Generator, load_generator
from safer_clip.benchmark.images import Studio, copy_safe
from safer_clip.benchmark.judging import load_caption_judge, load_picture_judge
from safer_clip.benchmark.leakage import measure_nearness
from safer_clip.benchmark.loose import measure_loose
from safer_clip.benchmark.measures import append_measures, measure_pairs
from safer_clip.benchmark.refusals import load_words
from safer_clip.benchmark.remembering import RememberingEncoder
from safer_clip.benchmark.rewriting import Journal, Rewriter, run_rewriter
from safer_clip.benchmark.settings import BuildSettings
from safer_clip.benchmark.sources import read_source
from safer_clip.benchmark.stats import compute_stats, write_stats
from safer_clip.benchmark.workplace import (
    CANDIDATES_FILE,
    FORMAT,
    MANIFEST_FILE,
    Workplace,
    compare_manifests,
    hold_folder,
    read_manifest,
    write_candidates,
    write_manifest,
)
from safer_clip.errors import ConfigError
from safer_clip.files import prepare_output
from safer_clip.judges.base import ImageJudge, TextJudge
from safer_clip.progress import show_progress
from safer_clip.reference import check_cosine

if TYPE_CHECKING:
    from safer_clip.models.dual_encoder import DualEncoder

Tell = Callable[[str], None]
T = TypeVar("T")
TEXTS_AT_ONCE, PICTURES_AT_ONCE = 256, 64


@dataclass(frozen=True)
class Crew:
    """Everything that does the work, loaded before any of it starts.

    Attributes:
        settings: what was loaded.
        source: the captioned pictures.
        encoder: of captions and pictures.
        rewriter: of captions.
        text_judges: of captions.
        image_judges: of pictures.
        generator: of unsafe pictures, if there shall be any.
    """

    settings: BuildSettings
    source: CaptionedSet
    encoder: DualEncoder
    rewriter: Rewriter
    text_judges: Sequence[TextJudge]
    image_judges: Sequence[ImageJudge]
    generator: Generator | None

    @classmethod
    def load(cls, settings: BuildSettings) -> Crew:
        """Load all of it.

        Raises:
            ConfigError: something that is named is not there, or does not fit the rest.
            DataError: lists everything that is wrong with the source.
        """
        from safer_clip.tuning import load_encoder

        _check_together(settings)
        source = read_source(settings.source, settings.seed)
        loaded = load_encoder(settings.encoder)
        check_cosine(loaded, "building a benchmark needs")
        encoder = RememberingEncoder.of(loaded)
        return cls(
            settings,
            source,
            encoder,
            load_rewriter(settings),
            [load_caption_judge(name, encoder) for name in settings.text_judges],
            [load_picture_judge(name, encoder) for name in settings.image_judges],
            load_generator(settings.pictures, settings.seed),
        )

    @cached_property
    def items(self) -> dict[str, Captioned]:
        """The source's pictures by id."""
        return {item.id: item for item in self.source.items}

    def describe(self) -> dict[str, Any]:
        """The manifest: everything that the benchmark hangs on."""
        from safer_clip.environment import describe_versions
        from safer_clip.fingerprints import fingerprint_model

        return {
            "format": FORMAT,
            "settings": self.settings.model_dump(mode="json"),
            "source": {"name": self.source.name, "pictures": len(self.source.items), "digest": self.source.fingerprint},
            "encoder": {"name": self.settings.encoder, "fingerprint": fingerprint_model(self.encoder.model)},
            "rewriter": {"name": self.rewriter.name, "version": self.rewriter.version},
            "text_judges": [f"{judge.name} {judge.version}" for judge in self.text_judges],
            "image_judges": [f"{judge.name} {judge.version}" for judge in self.image_judges],
            "generator": self.generator.name if self.generator else "none",
            "versions": describe_versions(),
        }


def load_rewriter(settings: BuildSettings) -> Rewriter:
    """Load a rewriter by its name.

    Raises:
        ConfigError: there is no such rewriter, or what it needs is missing.
    """
    name = settings.rewriter.name
    if name == "offline":
        from safer_clip.benchmark.rewriter_offline import OfflineRewriter

        return OfflineRewriter(settings.seed)
    if name.startswith("chat:"):
        from safer_clip.benchmark.rewriter_chat import ChatRewriter

        return ChatRewriter(settings.rewriter, settings.source.language)
    raise ConfigError(f"there is no rewriter {name!r}; name offline or chat:MODEL[@URL]")


def build(folder: Path, settings: BuildSettings, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Build a benchmark, or go on with one.

    Args:
        folder: to write; empty, absent, or begun with settings that differ only in what may change.
        settings: all of them.
        tell: told what happens, a sentence at a time; never a caption.

    Returns:
        The statistics, as in ``stats.json``.

    Raises:
        ConfigError: the settings cannot be used, or the folder was begun with others.
        DataError: lists everything that is wrong with an input.
        RewriterError: the rewriter cannot go on; run it again to go on from there.
    """
    crew = Crew.load(settings)
    manifest = crew.describe()
    begun = (folder / MANIFEST_FILE).is_file()
    if begun:
        compare_manifests(read_manifest(folder), manifest, folder)
    else:
        prepare_output(folder, overwrite=False)
    with hold_folder(folder):
        write_manifest(folder, manifest)
        place = Workplace(folder, settings)
        _choose(place, crew, tell)
        _rewrite(place.reread(), crew, tell)
        _measure(place.reread(), crew, tell)
        _make_pictures(place.reread(), crew, tell)
        return _finish(place.reread(), crew, tell)


def _choose(place: Workplace, crew: Crew, tell: Tell) -> None:
    if (place.folder / CANDIDATES_FILE).is_file():
        return
    source = crew.settings.source
    chooser = Chooser(source, load_words(source.words), crew.settings.seed)
    items = sample_items(crew.source.items, source.captions, crew.settings.seed)
    candidates, dropped = choose_candidates(items, chooser, crew.encoder)
    write_candidates(place.folder, candidates, dropped)
    tell(f"Chose {len(candidates):,} captions of {len(items):,} pictures")


def _rewrite(place: Workplace, crew: Crew, tell: Tell) -> None:
    candidates = list(place.candidates.values())
    with show_progress("Rewriting", len(candidates)) as advance:
        run_rewriter(crew.rewriter, candidates, Journal(place.folder), advance)
    tell(f"Rewrote {len(place.reread().pairs):,} of {len(candidates):,} captions")


def _measure(place: Workplace, crew: Crew, tell: Tell) -> None:
    pairs = [pair for key, pair in place.pairs.items() if (key, pair.unsafe_caption) not in place.measures]
    at_once = _limit(TEXTS_AT_ONCE, crew.settings.text_judges)
    with show_progress("Measuring", len(pairs)) as advance:
        for batch in _split(pairs, at_once):
            append_measures(place.folder, measure_pairs(batch, crew.encoder, crew.text_judges))
            advance(len(batch))
    near = [pair for key, pair in place.pairs.items() if (key, pair.unsafe_caption) not in place.nearness]
    items = [(pair, crew.items[pair.candidate.id]) for pair in near]
    measure_nearness(place.folder, items, crew.settings.leakage, crew.encoder)
    tell(f"Measured {len(pairs):,} pairs of captions")


def _make_pictures(place: Workplace, crew: Crew, tell: Tell) -> None:
    if crew.generator is None:
        return
    wanted = [pair for key, pair in place.pairs.items() if key not in place.pictures and not find_text_reasons(place, pair)]
    studio = Studio(place.folder, crew.generator, crew.encoder, crew.image_judges)
    made = 0
    with show_progress("Making pictures", len(wanted)) as advance:
        for batch in _split(wanted, _limit(PICTURES_AT_ONCE, crew.settings.image_judges, crew.generator)):
            made += len(studio.make([(pair, crew.items[pair.candidate.id]) for pair in batch]))
            advance(len(batch))
    tell(f"Made and judged pictures of {made:,} of {len(wanted):,} pairs")


def _finish(place: Workplace, crew: Crew, tell: Tell) -> dict[str, Any]:
    outcome = decide(place)
    safe_images = {}
    if crew.generator is not None:
        safe_images = {key: copy_safe(place.folder, crew.items[key]) for key in outcome.selected}
    write_benchmark(place, outcome, safe_images)
    loose = measure_loose(place, crew.encoder)
    stats = compute_stats(place, outcome, loose)
    write_stats(place, stats)
    write_datasheet(place, stats)
    tell(f"Selected {stats['size']:,} quadruplets of {stats['wanted']:,} wanted")
    return stats


def _check_together(settings: BuildSettings) -> None:
    """Refuse combinations that cannot work, all at once."""
    of_miniature = {
        "rewriter.name": settings.rewriter.name == "offline",
        "pictures.generator": settings.pictures.generator == "miniature",
    }
    wrong = [f"{name} works with the source miniature only" for name, used in of_miniature.items() if used]
    problems = wrong if settings.source.data != "miniature" else []
    if "miniature" in settings.text_judges + settings.image_judges and settings.encoder != "miniature":
        problems.append("the miniature's judges work with the encoder miniature only")
    if settings.source.min_words > settings.source.max_words:
        problems.append("source.min_words is above source.max_words")
    if problems:
        raise ConfigError(f"these settings do not fit together: {'; '.join(problems)}")


def _limit(usual: int, judges: Sequence[str], generator: Generator | None = None) -> int:
    """Items at once: one where each costs money or minutes, so that a kill loses no more than that."""
    slow = generator is not None and generator.name.startswith("diffusers")
    return 1 if slow or any(name.startswith("chat:") for name in judges) else usual


def _split(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
