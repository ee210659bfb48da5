"""Doing many slow requests at once: those that must wait before they are tried again leave their place to others."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

Job = TypeVar("Job")
Work = Callable[[Job], Awaitable[float | None]]
"""Does a job; gives the seconds to wait before it is tried again, or ``None`` if it is settled."""


@dataclass
class Pace:
    """Keeps to limits a minute by spacing what is used of them evenly; a burst of half a second is let through.

    Attributes:
        per_minute: the limit; ``None`` for none.
    """

    per_minute: float | None
    _free_at: float = 0.0

    async def wait(self) -> None:
        """Wait until the limit has room."""
        while self.per_minute and (ahead := self._free_at - asyncio.get_running_loop().time()) > BURST:
            await asyncio.sleep(ahead - BURST)

    def use(self, amount: float) -> None:
        """Tell how much of the limit was used."""
        if self.per_minute:
            now = asyncio.get_running_loop().time()
            self._free_at = max(self._free_at, now) + 60.0 * amount / self.per_minute


BURST = 0.5


@dataclass
class Schedule(Generic[Job]):
    """Jobs that are ready, and those that wait for their time."""

    ready: deque[Job]
    waiting: list[tuple[float, int, Job]] = field(default_factory=list)
    running: int = 0
    stopped: bool = False
    _order: count[int] = field(default_factory=count)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self) -> Job | None:
        """The next job, those whose waiting is over first; ``None`` once there is nothing left to do."""
        loop = asyncio.get_running_loop()
        while not self.stopped:
            due = self.waiting[0][0] - loop.time() if self.waiting else None
            if due is not None and due <= 0:
                return self._start(heapq.heappop(self.waiting)[2])
            if self.ready:
                return self._start(self.ready.popleft())
            if due is None and not self.running:
                break
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), due)
            except TimeoutError:
                continue
        self._changed.set()
        return None

    def put_back(self, job: Job, seconds: float) -> None:
        """A job was not settled: try it again after a while."""
        heapq.heappush(self.waiting, (asyncio.get_running_loop().time() + seconds, next(self._order), job))

    def finish(self) -> None:
        """A job that was taken is no longer at work."""
        self.running -= 1
        self._changed.set()

    def stop(self) -> None:
        """Take no further job; those at work go on to their end."""
        self.stopped = True
        self._changed.set()

    def _start(self, job: Job) -> Job:
        self.running += 1
        return job


async def work_off(jobs: Iterable[Job], work: Work[Job], concurrency: int) -> None:
    """Do all jobs, so many at a time.

    An error of ``work`` lets the jobs at work come to their end, takes no new one, and is raised then: what was already
    asked for is still received.
    """
    schedule: Schedule[Job] = Schedule(deque(jobs))

    async def serve() -> None:
        while (job := await schedule.take()) is not None:
            try:
                seconds = await work(job)
                if seconds is not None:
                    schedule.put_back(job, seconds)
            except BaseException:
                schedule.stop()
                raise
            finally:
                schedule.finish()

    found = await asyncio.gather(*(serve() for _ in range(concurrency)), return_exceptions=True)
    errors = [each for each in found if isinstance(each, BaseException)]
    if errors:
        raise errors[0]
