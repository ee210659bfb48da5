"""Running a review: check the folder, open a port of this machine alone, serve until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safer_clip.benchmark.review_session import Pair, ReviewSession
from safer_clip.benchmark.verdicts import VERDICTS_FILE
from safer_clip.data.pictures import parse_picture
from safer_clip.data.tags import UNKNOWN
from safer_clip.errors import ConfigError, need_extra

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from uvicorn import Server

QUADRUPLETS_FILE = "quadruplets.jsonl"
HOST = "127.0.0.1"
LONGEST_NAME = 60
PATIENCE_S = 2  # for answers under way when the review is ended


def run_review(folder: Path, reviewer: str, port: int, open_browser: bool, tell: Callable[[str], None]) -> None:
    """Let one person review a benchmark in a browser, until Ctrl-C.

    Args:
        folder: a benchmark; verdicts are appended to its journal at once.
        reviewer: the person's name, under which the work goes on after a restart.
        port: of this machine; 0 for any free one.
        open_browser: open the page, besides telling its address.
        tell: takes lines for the terminal.

    Raises:
        ConfigError: the folder is no benchmark or cannot be written, the port is taken, the name is unusable, or the
            packages of the extra ``review`` are not installed.
        DataError: the quadruplets, their pictures or the journal are at fault; lists everything that is.
    """
    with need_extra("starlette", "review"):
        from safer_clip.benchmark.review import ReviewDesk, create_app, make_token
    desk = ReviewDesk(folder, load_pairs(folder), check_reviewer(reviewer), make_token())
    session = desk.open_session()
    server = _make_server(create_app(desk))
    with open_port(port) as listener:
        address = f"http://{HOST}:{listener.getsockname()[1]}/?token={desk.token}"
        for line in _introduce(session):
            tell(line)
        tell(f"Review at {address}")
        tell("Every verdict is on disk at once. Ctrl-C ends the review; the same command goes on with it.")
        if open_browser:  # in a thread, since a browser for terminals would not come back
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with suppress(KeyboardInterrupt):  # uvicorn passes Ctrl-C on once it has shut down
            server.run(sockets=[listener])
    tell(_count(desk.open_session()))


def check_reviewer(name: str) -> str:
    """Return the name without blanks around it.

    Raises:
        ConfigError: it is empty, too long, or holds characters that cannot be seen.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"--reviewer {name!r} cannot be a name; use 1 to {LONGEST_NAME} visible characters")
    return name


def load_pairs(folder: Path) -> list[Pair]:
    """Read what is to be reviewed, in the file's order.

    Raises:
        ConfigError: the folder is no benchmark, or nothing can be written there.
        DataError: lists every row that cannot be used and every picture that is missing or broken.
    """
    file = folder / QUADRUPLETS_FILE
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; name the one that `safer-clip benchmark build` wrote")
    if not file.is_file():
        raise ConfigError(f"{folder} is no benchmark: it has no {QUADRUPLETS_FILE}; `safer-clip benchmark build` makes one")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder} cannot be written, and {VERDICTS_FILE} belongs there; change its permissions")
    from datasets import Image

    from safer_clip.data import read_quadruplets

    table = read_quadruplets(file).table
    for side in ("safe_image", "unsafe_image"):
        table = table.cast_column(side, Image(decode=False))
    return [_read_pair(row, folder) for row in table.with_format(None)]


def open_port(port: int) -> socket.socket:
    """Listen on a port of this machine, which other machines cannot reach.

    Raises:
        ConfigError: the port is taken or not for everybody.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere this would share the port instead of only reusing it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reasons = {errno.EADDRINUSE: "is in use", errno.EACCES: "may not be used by you"}
        reason = reasons.get(error.errno or 0, f"cannot be used ({error.strerror})")
        raise ConfigError(f"--port {port} {reason}; name another one, or none for any free one") from error
    return listener


def _read_pair(row: dict[str, Any], folder: Path) -> Pair:
    category, tag = row["category"], row["tag"] or None
    if category == UNKNOWN and tag:
        category = tag
    return Pair(
        id=row["id"],
        safe_caption=row["safe_caption"],
        unsafe_caption=row["unsafe_caption"],
        category=category,
        tag=tag if tag != category else None,
        safe_image=parse_picture(row["safe_image"], folder),
        unsafe_image=parse_picture(row["unsafe_image"], folder),
    )


def _introduce(session: ReviewSession) -> list[str]:
    lines = [_count(session)]
    others = sorted(name for name, given in session.standing.items() if given and name != session.reviewer)
    if others and session.reviewer not in session.standing:
        lines.append(f"{session.reviewer} is new here; so far there were {', '.join(others)}")
    lacking = sum(pair.safe_image is None or pair.unsafe_image is None for pair in session.pairs)
    if lacking:
        lines.append(f"{lacking} of the pairs lack a picture; of these there are captions only")
    return lines


def _count(session: ReviewSession) -> str:
    progress = session.measure_progress()
    left = progress.total - progress.decided
    return f"{session.reviewer}: {progress.decided:,} of {progress.total:,} pairs decided, {left:,} left"


def _make_server(app: Starlette) -> Server:
    with need_extra("uvicorn", "review"):
        from uvicorn import Config, Server

    return Server(
        Config(
            app,
            log_level="warning",
            access_log=False,  # addresses hold the token
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=PATIENCE_S,
            ws="none",
        )
    )
