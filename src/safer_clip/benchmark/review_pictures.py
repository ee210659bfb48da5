"""Pictures as the review page gets them: PNG for the screen, clear or blurred beyond recognition."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from safer_clip.data.pictures import Picture
from safer_clip.errors import SaferClipError

if TYPE_CHECKING:
    from PIL import Image

SCREEN_PIXELS = 1600  # the longer side of a clear picture, at most
BLURRED_PIXELS = 320  # the longer side of a blurred one
KEPT_PIXELS = 7  # so many along the longer side are all that a blurred picture is made of


def encode_picture(picture: Picture, *, blurred: bool) -> bytes:
    """Make a PNG of a picture, upright, without its metadata, on white where it is see-through.

    Args:
        picture: any that Pillow can read.
        blurred: reduce it to a few pixels first, whatever its size; what it shows cannot be got back.

    Raises:
        SaferClipError: it cannot be read any more.
    """
    try:
        image = _open(picture)
    # Pillow's plugins fail in many ways on broken bytes, SyntaxError and struct.error among them
    except Exception as error:
        raise SaferClipError(f"cannot read {picture.path or 'an embedded picture'}: {type(error).__name__}") from error
    if blurred:
        image = blur_image(image)
    image.thumbnail((SCREEN_PIXELS, SCREEN_PIXELS))
    buffer = BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def blur_image(image: Image.Image) -> Image.Image:
    """Average an RGB image down to :data:`KEPT_PIXELS` on its longer side, and spread these smoothly again."""
    from PIL.Image import Resampling

    longer = max(image.size)
    few = [max(1, round(side * KEPT_PIXELS / longer)) for side in image.size]
    many = [max(1, round(side * BLURRED_PIXELS / longer)) for side in image.size]
    return image.resize((few[0], few[1]), Resampling.BOX).resize((many[0], many[1]), Resampling.BICUBIC)


def _open(picture: Picture) -> Image.Image:
    from PIL import Image, ImageOps

    with Image.open(BytesIO(picture.data) if picture.data is not None else str(picture.path)) as file:
        upright = ImageOps.exif_transpose(file).convert("RGBA")
    white = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(white, upright).convert("RGB")
