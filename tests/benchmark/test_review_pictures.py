from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from safer_clip.benchmark.review_pictures import KEPT_PIXELS, blur_image, encode_picture
from safer_clip.data.pictures import Picture
from safer_clip.errors import SaferClipError


def decode(png):
    return Image.open(BytesIO(png))


def test_a_blurred_picture_keeps_no_detail_but_its_shape_and_colours():
    # stripes four pixels wide, 40 of them black and 40 white: at seven pixels a side nothing of them is left
    stripes = np.zeros((160, 320, 3), np.uint8)
    stripes[:, np.arange(320) // 4 % 2 == 1] = 255
    blurred = np.asarray(blur_image(Image.fromarray(stripes)), float)
    assert blurred.shape == stripes.shape
    assert np.asarray(stripes, float).std() > 120
    assert blurred.std() < 10
    assert abs(blurred.mean() - 127.5) < 3


def test_a_blurred_picture_is_made_of_few_numbers():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    values = np.linalg.svd(np.asarray(blur_image(noise), float)[..., 0], compute_uv=False)
    # smooth spreading of a k x k picture has rank k; what rounding to whole numbers adds is far below
    assert values[KEPT_PIXELS] < 0.01 * values[0]


def test_clear_pictures_are_upright_on_white_and_bare(tmp_path):
    photo = Image.new("RGB", (40, 20), "red")
    exif = photo.getexif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "somebody's name"
    photo.save(tmp_path / "photo.jpg", exif=exif)
    clear = decode(encode_picture(Picture(path=tmp_path / "photo.jpg"), blurred=False))
    assert (clear.format, clear.size) == ("PNG", (20, 40))
    assert not clear.getexif() and not clear.info
    buffer = BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(buffer, format="PNG")
    assert decode(encode_picture(Picture(data=buffer.getvalue()), blurred=False)).getpixel((0, 0)) == (255, 255, 255)


def test_pictures_of_any_shape_can_be_blurred():
    assert blur_image(Image.new("RGB", (1, 1))).size == (320, 320)
    assert blur_image(Image.new("RGB", (1000, 2))).size == (320, 1)


def test_a_picture_that_went_missing_is_named(tmp_path):
    with pytest.raises(SaferClipError, match=r"gone\.png"):
        encode_picture(Picture(path=tmp_path / "gone.png"), blurred=True)
