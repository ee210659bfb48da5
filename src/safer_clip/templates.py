"""Templates of pages and documents, as this package fills them in."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def load_templates(package: str, folder: str = ".", autoescape: bool = True) -> Environment:
    """An environment for the templates of a package's folder: an undefined name is an error, blocks leave no blank lines.

    Args:
        package: that the templates ship with.
        folder: inside it.
        autoescape: for HTML; Markdown of names and numbers needs none.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
