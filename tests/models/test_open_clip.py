import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError
from safer_clip.fingerprints import fingerprint_model, fingerprint_preprocessing
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.open_clip import (
    CONFIG,
    WEIGHTS,
    convert_weights,
    describe_model,
    describe_preprocessing,
    load_open_clip,
    restore_weights,
)


@pytest.fixture
def folder(encoder, tmp_path):
    """The miniature as open_clip keeps it."""
    path = tmp_path / "open-clip"
    path.mkdir()
    save_file(convert_weights(encoder.model), path / WEIGHTS)
    encoder.tokenizer.save_pretrained(path)
    told = {"model_cfg": describe_model(encoder), "preprocess_cfg": describe_preprocessing(encoder)}
    (path / CONFIG).write_text(json.dumps(told))
    return path


def test_there_and_back_is_the_same_model(encoder, folder):
    back = load_open_clip(folder)
    ours, theirs = encoder.model.state_dict(), back.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert back.encode_texts(["a dog in the park"]) == pytest.approx(encoder.encode_texts(["a dog in the park"]), abs=1e-6)
    assert back.processor.crop_size == encoder.processor.crop_size


def test_the_command_writes_what_other_commands_take(encoder, folder, tmp_path):
    done = CliRunner().invoke(app, ["convert", "--model", str(folder), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    loaded = DualEncoder.load(tmp_path / "out")
    assert loaded.encode_texts(["a cat"]) == pytest.approx(encoder.encode_texts(["a cat"]), abs=1e-6)
    assert fingerprint_model(loaded.model) == fingerprint_model(load_open_clip(folder).model)
    assert fingerprint_preprocessing(loaded) == fingerprint_preprocessing(load_open_clip(folder))


def test_a_tokenizer_may_come_from_elsewhere(encoder, folder, tmp_path):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"missing: .*tokenizer\.json"):
        load_open_clip(folder)
    encoder.tokenizer.save_pretrained(tmp_path / "words")
    assert load_open_clip(folder, tmp_path / "words").encode_texts(["a cat"]).shape == (1, 128)


def test_what_is_no_plain_clip_is_refused(folder):
    told = json.loads((folder / CONFIG).read_text())
    told["model_cfg"]["vision_cfg"]["timm_model_name"] = "vit"
    told["model_cfg"]["text_cfg"] |= {"pool_type": "last", "vocab_size": 10}
    (folder / CONFIG).write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"timm_model_name, pool_type last, a tokenizer of \d+ words"):
        load_open_clip(folder)


def test_foreign_and_missing_weights_are_named(folder):
    weights = load_file(folder / WEIGHTS)
    with pytest.raises(ConfigError, match=r"no plain CLIP's: visual\.attn_pool\.query \(1 in all\)"):
        restore_weights({**weights, "visual.attn_pool.query": torch.zeros(1)})
    del weights["visual.proj"]
    with pytest.raises(ConfigError, match=r"missing: visual\.proj"):
        restore_weights(weights)
