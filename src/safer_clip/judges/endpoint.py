"""An endpoint that speaks the OpenAI protocol, and may be down, overloaded or answer rubbish."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from safer_clip.errors import need_extra
from safer_clip.judges.base import JudgeError

ATTEMPTS = 3
RETRIES = 4
_SHOWN = 200

Answer = TypeVar("Answer")


class Endpoint:
    """A model behind an address.

    Args:
        model: the endpoint's name of the model.
        base_url: of the endpoint; by default OpenAI's, or the environment's ``OPENAI_BASE_URL``.
        timeout: seconds to wait for one answer.

    Raises:
        ConfigError: the package is not installed.
        JudgeError: there is no key for the endpoint.
    """

    def __init__(self, model: str, base_url: str | None = None, timeout: float = 60.0) -> None:
        with need_extra("openai", "judges"):
            import openai

        self.model = model
        self._errors = openai.OpenAIError
        try:
            # retries of connections, 429 and 5xx with backoff are the client's own
            self._client = openai.OpenAI(base_url=base_url, timeout=timeout, max_retries=RETRIES)
        except openai.OpenAIError as error:
            raise JudgeError(f"{model} cannot be asked: {error}") from error

    def ask(self, send: Callable[[Any], Any], read: Callable[[Any], Answer | None]) -> Answer:
        """Ask until there is an answer that can be read.

        Args:
            send: puts the question to an ``openai.OpenAI`` client.
            read: takes the reply, and gives ``None`` if it is unusable.

        Raises:
            JudgeError: the endpoint cannot be reached or refuses, or all answers are unusable; answers are not repeated, as
                they may quote what was judged.
        """
        for _ in range(ATTEMPTS):
            answer = self._try(send, read)
            if answer is not None:
                return answer
        raise JudgeError(
            f"{self.model} answered {ATTEMPTS} times without a usable verdict; check the model's name and address"
        )

    def _try(self, send: Callable[[Any], Any], read: Callable[[Any], Answer | None]) -> Answer | None:
        try:
            reply = send(self._client)
        except self._errors as error:
            raise JudgeError(f"{self.model} cannot be asked: {str(error)[:_SHOWN]}") from error
        except json.JSONDecodeError:
            return None
        try:
            return read(reply)
        # the client passes on a reply that is no JSON as text, and JSON of another shape as it is
        except (ValueError, TypeError, AttributeError, LookupError):
            return None
