"""The application behind the review page: its routes, and who may use them.

Pictures and captions of a benchmark are nobody else's business, so the application answers only under its own host name,
only to those who know its token, and leaves nothing in the browser's cache.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from safer_clip.benchmark.review_guard import TOKEN_HEADER, TokenGuard, add_headers, cookie_name
from safer_clip.benchmark.review_pictures import encode_picture
from safer_clip.benchmark.review_session import Pair, ReviewError, ReviewSession
from safer_clip.benchmark.verdicts import append_verdict, read_verdicts
from safer_clip.errors import SaferClipError, list_fields
from safer_clip.templates import load_templates

if TYPE_CHECKING:
    from starlette.types import ExceptionHandler

HOSTS = ("127.0.0.1", "localhost")
LONGEST_CAPTION = 2000


@dataclass(frozen=True)
class ReviewDesk:
    """What one run of the review works on.

    Attributes:
        folder: the benchmark's, which holds the journal.
        pairs: in the file's order.
        reviewer: whose verdicts these will be.
        token: the secret that opens the page.
    """

    folder: Path
    pairs: Sequence[Pair]
    reviewer: str
    token: str

    def open_session(self) -> ReviewSession:
        """The state by the journal as it is now: a second tab, or another reviewer, may have written meanwhile."""
        return ReviewSession(self.pairs, self.reviewer, read_verdicts(self.folder))


class VerdictRequest(BaseModel):
    """What the page sends to decide on a pair."""

    model_config = ConfigDict(extra="forbid")
    id: str
    verdict: Literal["accept", "reject", "edit"]
    unsafe_caption: str | None = Field(default=None, max_length=LONGEST_CAPTION)


def create_app(desk: ReviewDesk) -> Starlette:
    """Build the application that serves one reviewer."""
    routes = _Routes(desk)
    handlers: dict[type[Exception], ExceptionHandler] = {
        ReviewError: _explain(422),
        SaferClipError: _explain(500),
        OSError: _explain(500),
    }
    return Starlette(
        routes=[
            Route("/", routes.show_page),
            Route("/pairs/{number:int}", routes.show_pair),
            Route("/pictures/{number:int}/{name}", routes.show_picture),
            Route("/summary", routes.show_summary),
            Route("/verdicts", routes.take_verdict, methods=["POST"]),
            Route("/undo", routes.undo, methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("safer_clip.benchmark", "review_page/static")])),
        ],
        middleware=[
            Middleware(add_headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
            Middleware(TokenGuard, token=desk.token),
        ],
        exception_handlers=handlers,
    )


def make_token() -> str:
    """A secret that nobody guesses, fit for an address."""
    return secrets.token_urlsafe(32)


class _Routes:
    """What each address answers. Verdicts are written on the event loop, so that they come one after the other."""

    def __init__(self, desk: ReviewDesk) -> None:
        self.desk = desk

    async def show_page(self, request: Request) -> Response:
        page = load_templates("safer_clip.benchmark", "review_page").get_template("page.html.j2")
        content = page.render(
            reviewer=self.desk.reviewer,
            folder=self.desk.folder,
            name=self.desk.folder.resolve().name,
            total=len(self.desk.pairs),
            token=self.desk.token,
            token_header=TOKEN_HEADER,
            longest_caption=LONGEST_CAPTION,
            start=self.desk.open_session().measure_progress().next or 0,
        )
        response = HTMLResponse(content)
        response.set_cookie(cookie_name(request.url.port), self.desk.token, httponly=True, samesite="strict")
        return response

    async def show_pair(self, request: Request) -> Response:
        return JSONResponse(asdict(self.desk.open_session().view_pair(request.path_params["number"])))

    def show_picture(self, request: Request) -> Response:
        number, name = request.path_params["number"], request.path_params["name"]
        if not 1 <= number <= len(self.desk.pairs) or name not in ("safe", "unsafe", "unsafe-blurred"):
            raise HTTPException(404)
        pair = self.desk.pairs[number - 1]
        picture = pair.safe_image if name == "safe" else pair.unsafe_image
        if picture is None:
            raise HTTPException(404)
        return Response(encode_picture(picture, blurred=name == "unsafe-blurred"), media_type="image/png")

    async def show_summary(self, _: Request) -> Response:
        return JSONResponse(asdict(self.desk.open_session().summarize()))

    async def take_verdict(self, request: Request) -> Response:
        try:
            asked = VerdictRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise ReviewError("\n".join(["This is no verdict:", *list_fields(error)])) from error
        session = self.desk.open_session()
        number = session.find_pair(asked.id)
        append_verdict(self.desk.folder, session.decide(asked.id, asked.verdict, asked.unsafe_caption))
        return JSONResponse({"number": number, "progress": asdict(self.desk.open_session().measure_progress(number))})

    async def undo(self, _: Request) -> Response:
        session = self.desk.open_session()
        taken_back = append_verdict(self.desk.folder, session.undo())
        numbers = [number for number, pair in enumerate(self.desk.pairs, start=1) if pair.id == taken_back.id]
        return JSONResponse({"number": numbers[0] if numbers else None})


def _explain(status: int) -> ExceptionHandler:
    async def answer(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=status)

    return answer
