"""Carrying runs out in several processes, each of which loads what they share once."""

from __future__ import annotations

import multiprocessing
import queue
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from safer_clip.config import CompareConfig
from safer_clip.environment import usable_cores
from safer_clip.errors import SaferClipError
from safer_clip.processes import has_accelerator
from safer_clip.repeating.plans import Run
from safer_clip.repeating.runs import Bench, record_path

Tell = Callable[[str], None]
_PATIENCE = 1.0
_STOP_AFTER = 10.0


class RunsFailedError(SaferClipError):
    """Some runs failed; the others are kept."""


def count_jobs() -> int:
    """As many processes as cores, since a small model gains nothing from a second one; a GPU is not shared."""
    return 1 if has_accelerator() else max(1, usable_cores())


def carry_out(config: CompareConfig, bench: Bench, runs: Sequence[Run], jobs: int, tell: Tell) -> None:
    """Carry all runs out; one that fails does not stop the others.

    Args:
        config: of the comparison.
        bench: already open, so that what is encoded once is there before other processes start.
        runs: to be done.
        jobs: processes; with one, everything happens in this one.
        tell: told of each run that is done.

    Raises:
        RunsFailedError: lists the runs that failed and why.
    """
    done = 0
    failed: list[str] = []
    outcomes = _work_here(bench, runs) if jobs == 1 or len(runs) < 2 else _work_beside(config, runs, min(jobs, len(runs)))
    for name, problem in outcomes:
        done += 1
        tell(f"{done} of {len(runs)}: {name} {'failed' if problem else 'done'}")
        if problem:
            failed.append(f"  {name}: {problem}")
    if done < len(runs):
        failed.append(f"  {len(runs) - done} runs more: their process died, perhaps for want of memory; try fewer --jobs")
    if failed:
        raise RunsFailedError("\n".join([f"{len(failed)} of {len(runs)} runs failed; the others are kept:", *failed]))


def _work_here(bench: Bench, runs: Sequence[Run]) -> Iterator[tuple[str, str | None]]:
    for run in runs:
        yield run.name, _attempt(bench, run)


def _work_beside(config: CompareConfig, runs: Sequence[Run], jobs: int) -> Iterator[tuple[str, str | None]]:
    """Runs are handed out one by one, as their lengths differ."""
    context = multiprocessing.get_context("spawn")  # a forked process may inherit locks of torch's threads
    todo: Any = context.Queue()
    outcomes: Any = context.Queue()
    for run in [*runs, *[None] * jobs]:
        todo.put(run)
    workers = [context.Process(target=_serve, args=(config, jobs, todo, outcomes), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        yield from _listen(workers, outcomes)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join(_STOP_AFTER)


def _listen(workers: Sequence[Any], outcomes: Any) -> Iterator[tuple[str, str | None]]:
    while True:
        running = any(worker.is_alive() for worker in workers)  # asked before, as a last word may come in between
        try:
            yield outcomes.get(timeout=_PATIENCE if running else 0.1)
        except queue.Empty:
            if not running:
                return


def _serve(config: CompareConfig, jobs: int, todo: Any, outcomes: Any) -> None:
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    try:
        bench = Bench.open(config)
        while (run := todo.get()) is not None:
            log = record_path(config.output, run).with_suffix(".log")
            log.parent.mkdir(parents=True, exist_ok=True)
            # bars of several processes would write over each other
            with log.open("w") as file, redirect_stdout(file), redirect_stderr(file):
                problem = _attempt(bench, run)
            outcomes.put((run.name, problem))
    except KeyboardInterrupt:
        return  # the first process tells


def _attempt(bench: Bench, run: Run) -> str | None:
    """Carry a run out; returns what went wrong, as one broken method should not cost the others' results."""
    try:
        bench.measure(run)
    except SaferClipError as error:
        return str(error)
    except Exception as error:  # told in full, since nobody expected it
        return f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    return None
