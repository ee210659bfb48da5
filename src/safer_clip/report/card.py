"""A model card: what a model was tuned with, how safe and how useful it is, and what it does not promise."""

from __future__ import annotations

from pathlib import Path

from safer_clip.errors import ConfigError
from safer_clip.files import write_bytes
from safer_clip.report import tables, wording
from safer_clip.report.tables import Cell
from safer_clip.results import Results
from safer_clip.templates import load_templates

TEMPLATE = "card.md.j2"

BIBTEX = {
    "safer_clip": """@inproceedings{yousaf2026safer,
  title     = {{SafeR-CLIP}: Mitigating {NSFW} Content in Vision-Language Models While Preserving Pre-Trained Knowledge},
  author    = {Yousaf, Adeel and Fioresi, Joseph and Beetham, James and Bedi, Amrit Singh and Shah, Mubarak},
  booktitle = {AAAI},
  year      = {2026},
  eprint    = {2511.16743},
  archivePrefix = {arXiv}
}""",
    "safe_clip": """@inproceedings{poppi2024safe,
  title     = {{Safe-CLIP}: Removing {NSFW} Concepts from Vision-and-Language Models},
  author    = {Poppi, Samuele and Poppi, Tobia and Cocchi, Federico and Cornia, Marcella and Baraldi, Lorenzo
               and Cucchiara, Rita},
  booktitle = {ECCV},
  year      = {2024},
  eprint    = {2311.16254},
  archivePrefix = {arXiv}
}""",
}


def render_card(results: Results, title: str, method: str | None = None, licence: str | None = None) -> str:
    """Write a card in Markdown with the hub's metadata.

    No caption and no picture of the data is in it.

    Args:
        results: of the model, beside its base if that was measured.
        title: the model's name.
        method: key in the results; by default the last.
        licence: identifier of the licence, that of the base model as a rule.

    Raises:
        ConfigError: the results have no such method.
    """
    key = method or list(results.methods)[-1]
    if key not in results.methods:
        raise ConfigError(f"the results have no method {key!r}; they have {', '.join(results.methods)}")
    found = results.methods[key]
    shown = results.model_copy(update={"methods": {k: v for k, v in results.methods.items() if k in ("clip", key)}})
    return (
        load_templates("safer_clip.report", autoescape=False)  # nothing in a card comes from the data but names and numbers
        .get_template(TEMPLATE)
        .render(
            write_cell=_write_cell,
            card_data=_describe_metadata(results, key, title, licence),
            title=title,
            method_title=found.title,
            base_name=results.base_model.get("name", "a pre-trained model"),
            tables=tables.method_tables(shown),
            zero_shot=tables.zero_shot_table(shown),
            settings={name: value for name, value in found.settings.items() if value not in (None, {}, [])},
            drift=found.drift,
            data=results.data,
            created=wording.moment(results.created),
            seed=results.seed,
            versions=results.versions,
            fingerprint=found.model_fingerprint,
            bibtex="\n\n".join(BIBTEX[name] for name in dict.fromkeys((key, "safer_clip")) if name in BIBTEX),
        )
    )


def write_card(results: Results, path: Path, title: str, method: str | None = None, licence: str | None = None) -> None:
    """Write a card atomically; arguments and errors as :func:`render_card`."""
    write_bytes(path, render_card(results, title, method, licence).encode())


def _describe_metadata(results: Results, key: str, title: str, licence: str | None) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        model_name=title,
        library_name="transformers",
        pipeline_tag="zero-shot-image-classification",
        license=licence,
        base_model=str(results.base_model["name"]) if _is_hub_name(results.base_model.get("name")) else None,
        tags=["safer-clip", "safety", "clip", key.replace("_", "-")],
    )
    return data.to_yaml()


def _is_hub_name(name: object) -> bool:
    """Whether a name could be a repository's: the hub refuses others, and a local path tells more than it should."""
    return isinstance(name, str) and name.count("/") == 1 and not name.startswith((".", "/"))


def _write_cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.note})" if cell.note else cell.text
