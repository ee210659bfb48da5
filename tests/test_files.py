import json

import pytest

from safer_clip.errors import ConfigError
from safer_clip.files import prepare_output, write_bytes, write_json


def test_outputs_are_never_overwritten_unasked(tmp_path):
    (tmp_path / "old").write_text("x")
    with pytest.raises(ConfigError, match="--overwrite"):
        prepare_output(tmp_path, overwrite=False)
    assert prepare_output(tmp_path, overwrite=True) == tmp_path
    with pytest.raises(ConfigError, match="is a file"):
        prepare_output(tmp_path / "old", overwrite=True)
    assert prepare_output(tmp_path / "a" / "b", overwrite=False).is_dir()


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "x", "no bytes")
    assert not list(tmp_path.iterdir())
