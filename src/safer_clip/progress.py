"""Progress bars that vanish when nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm


@contextmanager
def show_progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on a terminal, and nothing elsewhere; gives a function to call with the number of items just done."""
    with tqdm(total=total, desc=label, unit_scale=True, leave=False, disable=None) as bar:

        def advance(done: int) -> None:
            bar.update(done)

        yield advance
