"""Rewriting by a chat model, through any endpoint that speaks the OpenAI protocol.

Each answer goes to the journal as soon as it is whole, before anything else happens, so that none is paid for twice.
Requests that brought no answer are tried again: at the time that ``Retry-After`` names, or after a growing while. Captions
are never logged.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from safer_clip.benchmark.candidates import Candidate
from safer_clip.benchmark.prompting import SCHEMA, MalformedError, Prompts, RefusedError
from safer_clip.benchmark.rewriting import Record, Rewrite, RewriterError, Status
from safer_clip.benchmark.scheduling import Pace, work_off
from safer_clip.benchmark.settings import RewriterSettings
from safer_clip.errors import need_extra

FIRST_WAIT, LONGEST_WAIT, LONGEST_ASKED = 0.5, 30.0, 300.0
FAILURES_IN_A_ROW = 20
PASSING = {408, 409, 425, 429}
FORBIDDEN = {401, 402, 403, 404}
FILTERED = ("content_filter", "content_policy_violation")


@dataclass
class _Job:
    candidate: Candidate
    answers: int  # whole ones that were none, those of earlier runs included
    attempts: int = 0
    fruitless: int = 0


class ChatRewriter:
    """Asks about one caption at a time, many at once.

    Args:
        settings: the model, the endpoint and its limits. The key is the environment's ``OPENAI_API_KEY``.
        language: of the captions.

    Raises:
        ConfigError: the package is not installed, or a prompt cannot be used.
        RewriterError: there is no key.
    """

    def __init__(self, settings: RewriterSettings, language: str) -> None:
        with need_extra("openai", "benchmark"):
            import openai

        self._openai, self._settings, self._language = openai, settings, language
        self._prompts = Prompts.load(settings.prompts, language)
        model, _, address = settings.name.removeprefix("chat:").partition("@")
        self._model, self._address = model, address or None
        self.name, self.version = f"chat {model}", f"prompts {self._prompts.version}"
        self._open_client()  # tells at once if there is no key

    def rewrite(self, candidates: Sequence[Candidate], answered: dict[str, int], record: Record) -> None:
        """See :class:`~safer_clip.benchmark.rewriting.Rewriter`."""
        jobs = [_Job(candidate, answered.get(candidate.id, 0)) for candidate in candidates]
        asyncio.run(self._run(jobs, record))

    async def _run(self, jobs: Sequence[_Job], record: Record) -> None:
        async with self._open_client() as client:
            session = _Session(self, client, record)
            await work_off(jobs, session.work, self._settings.concurrency)

    def _open_client(self) -> Any:
        try:
            return self._openai.AsyncOpenAI(
                base_url=self._address, timeout=self._settings.timeout, max_retries=0
            )  # a request that waits for its next try must not hold a place, so waiting is the schedule's
        except self._openai.OpenAIError as error:
            raise RewriterError(f"the chat rewriter cannot start: {error}") from error


class _Session:
    """One run: a client, its limits, and how it fares."""

    def __init__(self, rewriter: ChatRewriter, client: Any, record: Record) -> None:
        self._openai, self._settings = rewriter._openai, rewriter._settings
        self._prompts, self._language, self._model = rewriter._prompts, rewriter._language, rewriter._model
        self._client, self._record = client, record
        self._requests = Pace(self._settings.requests_per_minute)
        self._tokens = Pace(self._settings.tokens_per_minute)
        self._failures = 0

    async def work(self, job: _Job) -> float | None:
        """Ask about a caption once; see :data:`~safer_clip.benchmark.scheduling.Work`."""
        await self._tokens.wait()
        await self._requests.wait()
        self._requests.use(1)
        job.attempts += 1
        start = time.monotonic()
        try:
            reply = await self._request(job.candidate.caption)
        except self._openai.APIStatusError as error:
            return self._handle_status(job, error, time.monotonic() - start)
        except (self._openai.APIConnectionError, self._openai.APIResponseValidationError, ValueError) as error:
            return self._try_again(job, None, type(error).__name__)
        return self._take(job, reply, time.monotonic() - start)

    async def _request(self, caption: str) -> Any:
        formats: dict[str, Any] = {
            "json_schema": {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
            "json_object": {"response_format": {"type": "json_object"}},
            "none": {},
        }
        return await self._client.chat.completions.create(
            model=self._model,
            messages=self._prompts.ask(caption, self._language),
            temperature=self._settings.temperature,
            max_tokens=self._settings.max_tokens,
            **formats[self._settings.structured],
        )

    def _take(self, job: _Job, reply: Any, seconds: float) -> float | None:
        """Write down a whole answer; one that is none is asked again, a few times."""
        self._failures = 0
        job.answers += 1
        usage = getattr(reply, "usage", None)
        prompt, completion = (getattr(usage, f"{name}_tokens", None) or 0 for name in ("prompt", "completion"))
        self._tokens.use(prompt + completion)
        status, told = self._understand(reply)
        if status == "malformed" and job.answers >= self._settings.answers:
            status = "invalid"
        self._record(
            [
                Rewrite(
                    job.candidate.id,
                    status,
                    **told,
                    attempts=job.attempts,
                    prompt_tokens=prompt,
                    completion_tokens=completion,
                    seconds=seconds,
                )
            ]
        )
        return 0.0 if status == "malformed" else None

    def _understand(self, reply: Any) -> tuple[Status, dict[str, Any]]:
        choices = getattr(reply, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            return "malformed", {}
        choice = choices[0]
        if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
            return "refused", {}
        try:
            answer = self._prompts.read(choice.message.content or "")
        except RefusedError:
            return "refused", {}
        except MalformedError:
            return "malformed", {}
        return "rewritten", {"text": answer.caption, "category": answer.category, "finer": answer.finer}

    def _handle_status(self, job: _Job, error: Any, seconds: float) -> float | None:
        code = error.status_code
        if code in FORBIDDEN or error.code == "insufficient_quota":
            raise RewriterError(f"the endpoint refuses to answer at all: {code} {error.code or type(error).__name__}")
        if error.code in FILTERED:
            self._failures = 0
            self._record([Rewrite(job.candidate.id, "refused", attempts=job.attempts, seconds=seconds)])
            return None
        if code in PASSING or code >= 500:
            return self._try_again(job, read_retry_after(error.response.headers), f"status {code}")
        self._give_up(job, f"status {code}")
        return None

    def _try_again(self, job: _Job, asked: float | None, reason: str) -> float | None:
        job.fruitless += 1
        if job.fruitless > self._settings.retries:
            self._give_up(job, reason)
            return None
        return choose_wait(job.fruitless, asked)

    def _give_up(self, job: _Job, reason: str) -> None:
        self._record([Rewrite(job.candidate.id, "failed", attempts=job.attempts)])
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise RewriterError(
                f"{self._failures} captions in a row got no answer, at last for {reason}; build again to go on from here"
            )


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait: from ``retry-after-ms``, or ``retry-after`` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(float(headers[name]) / unit, 0.0)
        except (KeyError, ValueError):
            continue
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError, TypeError):
        return None
    return max((moment - datetime.now(UTC if moment.tzinfo else None)).total_seconds(), 0.0)


def choose_wait(fruitless: int, asked: float | None) -> float:
    """Seconds until the next try: what the server asked for, up to five minutes, else doubling from half a second.

    Both are stretched by chance, so that requests that failed together do not come back together.
    """
    if asked is not None:
        return min(asked, LONGEST_ASKED) + random.uniform(0, 0.1)
    return float(min(FIRST_WAIT * 2 ** (fruitless - 1), LONGEST_WAIT) * random.uniform(0.75, 1.25))
