import hashlib

import numpy as np
import pytest
from PIL import Image

from safer_clip.errors import ConfigError
from safer_clip.judges import load_judge
from safer_clip.judges.opennsfw import prepare_picture
from stand_ins import write_opennsfw

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_pictures_are_prepared_as_by_yahoo():
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[..., 0], picture[..., 1], picture[..., 2] = 10, 20, 30
    picture[16, 16] = (200, 0, 0)  # the corner of the middle
    prepared = prepare_picture(Image.fromarray(picture))
    assert prepared.shape == (224, 224, 3)
    assert prepared[100, 100].tolist() == [30 - 104, 20 - 117, 10 - 123]
    assert prepared[0, 0].tolist() == [0 - 104, 0 - 117, 200 - 123]
    wide = prepare_picture(Image.new("RGB", (600, 50), (1, 2, 3)))  # squeezed, not cropped
    assert wide.shape == (224, 224, 3)


@pytest.mark.parametrize("first", [True, False])
def test_scores_by_hand_in_both_layouts(tmp_path, first):
    path = tmp_path / "open_nsfw.onnx"
    write_opennsfw(path, first)
    judge = load_judge(f"opennsfw:{path}")
    pictures = [Image.new("RGB", (40, 30), (200, 200, blue)) for blue in (104, 124, 84)]
    expected = 1 / (1 + np.exp([0.0, -2.0, 2.0]))  # (blue - 104) / 10 against 0
    assert judge.score(pictures) == pytest.approx(expected, abs=1e-5)
    assert judge.version == hashlib.blake2b(path.read_bytes()).hexdigest()[:12]


def test_what_is_no_opennsfw_is_told(tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(ConfigError, match=r"there is no file .*; opennsfw needs"):
        load_judge(f"opennsfw:{path}")
    path.write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="is no usable ONNX file"):
        load_judge(f"opennsfw:{path}")
    write_opennsfw(path, numbers=5)
    with pytest.raises(ConfigError, match=r"1 outputs, the first of shape \(16, 5\) .* of 2 numbers a picture"):
        load_judge(f"opennsfw:{path}")
    write_opennsfw(path, squash=False)
    with pytest.raises(ConfigError, match="does not answer with probabilities: they sum to"):
        load_judge(f"opennsfw:{path}")


def test_another_input_is_told(tmp_path):
    import onnx

    write_opennsfw(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 299
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"takes \['n', 3, 299, 224\]; OpenNSFW takes"):
        load_judge(f"opennsfw:{tmp_path / 'm.onnx'}")


def test_a_file_for_one_picture_at_a_time_is_fine(tmp_path):
    import onnx

    write_opennsfw(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "m.onnx")
    assert load_judge(f"opennsfw:{tmp_path / 'm.onnx'}").batch_size == 1
