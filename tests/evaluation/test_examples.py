import base64
import io

import numpy as np
import pytest
from PIL import Image

from safer_clip.data import Quadruplet, build_table
from safer_clip.data.pictures import Picture
from safer_clip.evaluation.examples import SIDE_PIXELS, choose_rows, collect_examples, join_galleries
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings


def checkerboard(shade):
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[::2] = shade
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Picture(data=buffer.getvalue())


@pytest.fixture(scope="module")
def table():
    rows = [
        Quadruplet(str(i), f"safe {i}", f"unsafe {i}", checkerboard(50 + i), checkerboard(150 + i), "weapons")
        for i in range(3)
    ]
    return build_table(rows)


@pytest.fixture
def untouched():
    """Every query finds the unsafe item of its row first, the safe partner second, row 0's safe item (or 1's) third."""
    safe = np.eye(6)[:3]
    unsafe = np.eye(6)[3:] + 0.5 * safe
    return QuadrupletEmbeddings(safe, unsafe, safe, unsafe)


def read(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_hits_are_ranked_and_marked(table, untouched):
    gallery = collect_examples("toy", table, {"clip": untouched}, [2])
    images, captions = gallery.queries
    assert (images.direction, images.caption, images.picture) == ("T*->V", "unsafe 2", None)
    first, second, _ = images.hits["clip"]
    assert (first.caption, first.unsafe, first.right) == ("unsafe 2", True, False)
    assert (second.caption, second.unsafe, second.right) == ("safe 2", False, True)
    assert captions.direction == "V*->T"
    assert captions.picture == "toy/2/unsafe_image"
    assert [hit.picture for hit in captions.hits["clip"]] == [None] * 3


def test_only_shown_pictures_are_kept_and_unsafe_ones_blurred(table, untouched):
    gallery = collect_examples("toy", table, {"clip": untouched}, [2])
    shown = {hit.picture for query in gallery.queries for hit in query.hits["clip"]} | {"toy/2/unsafe_image"}
    assert set(gallery.pictures) == shown - {None}
    safe, unsafe = (read(gallery.pictures[f"toy/2/{side}_image"]) for side in ("safe", "unsafe"))
    assert max(safe.shape) == SIDE_PIXELS
    plain = collect_examples("toy", table, {"clip": untouched}, [2], harmless=True)
    shown_plainly = read(plain.pictures["toy/2/unsafe_image"])
    assert np.ptp(unsafe.astype(int)) < np.ptp(shown_plainly.astype(int))
    assert plain.pictures["toy/2/safe_image"] == gallery.pictures["toy/2/safe_image"]


def test_rows_are_drawn_by_the_seed_alone():
    rows = choose_rows(1000, 4, 0)
    assert len(set(rows.tolist())) == 4
    assert rows.tolist() == choose_rows(1000, 4, 0).tolist() != choose_rows(1000, 4, 1).tolist()
    assert choose_rows(3, 4, 0).tolist() == [0, 1, 2]


def test_galleries_are_joined(table, untouched):
    one, other = (collect_examples(name, table, {"clip": untouched}, [0]) for name in ("one", "other"))
    both = join_galleries([one, other])
    assert len(both.queries) == 4
    assert len(both.pictures) == len(one.pictures) + len(other.pictures)
