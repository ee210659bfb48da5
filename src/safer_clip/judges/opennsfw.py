"""Yahoo's OpenNSFW, converted to ONNX: the classifier of many earlier papers, which NudeNet 3 alone does not replace."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safer_clip.errors import ConfigError, need_extra

if TYPE_CHECKING:
    from PIL.Image import Image

RESIZED, SIDE = 256, 224
MEAN_BGR = (104.0, 117.0, 123.0)
_DIGITS = 12


class OpenNsfwJudge:
    """Scores a picture by the probability of its second class.

    Pictures are prepared as by Yahoo's script: bilinear to 256 x 256, the 224 x 224 in the middle, blue-green-red, less the
    mean of each colour.

    Args:
        path: of the ONNX file; one input ``(n, 224, 224, 3)`` or ``(n, 3, 224, 224)``, one output ``(n, 2)`` with the
            probabilities of *safe* and *unsafe*.
        threshold: of the second probability.

    Raises:
        ConfigError: onnxruntime is not installed, there is no such file, or it is none that answers like this.
    """

    name = "opennsfw"
    batch_size = 16

    def __init__(self, path: Path, threshold: float = 0.5) -> None:
        if not path.is_file():
            raise ConfigError(f"there is no file {path}; opennsfw needs OpenNSFW's weights, converted to ONNX")
        self.path, self.threshold = path, threshold
        self.version = hashlib.blake2b(path.read_bytes()).hexdigest()[:_DIGITS]
        self._session = _open_session(path)
        self._input = self._session.get_inputs()[0]
        self._channels_first = self._find_layout()
        if self._input.shape[0] == 1:  # converted for one picture at a time
            self.batch_size = 1
        self._try_out()

    def score(self, items: Sequence[Image]) -> NDArray[np.float32]:
        """See :class:`~safer_clip.judges.base.Judge`."""
        return self._run(np.stack([prepare_picture(image) for image in items]))[:, 1].clip(0, 1)

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        ordered = pixels.transpose(0, 3, 1, 2) if self._channels_first else pixels
        answer: NDArray[np.float32] = np.asarray(self._session.run(None, {self._input.name: ordered})[0])
        return answer

    def _find_layout(self) -> bool:
        inputs, shape = self._session.get_inputs(), tuple(self._input.shape)
        layouts = {(SIDE, SIDE, 3): False, (3, SIDE, SIDE): True}
        if len(inputs) != 1 or shape[1:] not in layouts:
            told = " and ".join(str(each.shape) for each in inputs)
            raise ConfigError(f"{self.path} takes {told}; OpenNSFW takes [n, 224, 224, 3] or [n, 3, 224, 224]")
        return layouts[shape[1:]]

    def _try_out(self) -> None:
        outputs = len(self._session.get_outputs())
        with _explain(self.path):
            answer = self._run(np.zeros((self.batch_size, SIDE, SIDE, 3), np.float32))
        if outputs != 1 or answer.shape != (self.batch_size, 2):
            told = f"{outputs} outputs, the first of shape {answer.shape} for {self.batch_size} pictures"
            raise ConfigError(f"{self.path} has {told}; OpenNSFW has one, of 2 numbers a picture: safe and unsafe")
        if not np.allclose(answer.sum(axis=1), 1, atol=1e-3):
            raise ConfigError(f"{self.path} does not answer with probabilities: they sum to {float(answer[0].sum()):.3g}")


def prepare_picture(image: Image) -> NDArray[np.float32]:
    """Yahoo's preprocessing: float32 ``(224, 224, 3)``, blue-green-red, about -123 to 151."""
    from PIL.Image import Resampling

    resized = image.convert("RGB").resize((RESIZED, RESIZED), Resampling.BILINEAR)
    start = (RESIZED - SIDE) // 2
    pixels = np.asarray(resized, np.float32)[start : start + SIDE, start : start + SIDE, ::-1]
    return pixels - np.array(MEAN_BGR, np.float32)


def _open_session(path: Path) -> Any:
    with need_extra("onnxruntime", "judges"):
        import onnxruntime

    with _explain(path):
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    try:
        yield
    # onnxruntime's errors have no base of their own
    except Exception as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{path} is no usable ONNX file: {told[0]}") from error
