import json

import pytest

from safer_clip.errors import ConfigError
from safer_clip.resuming import Journal, refuse_changes


def test_a_journal_goes_on_after_a_torn_line(tmp_path):
    path = tmp_path / "out.jsonl.journal"
    first = Journal.beside(tmp_path / "out.jsonl", {"steps": 2})
    assert not path.exists()  # nothing is written before there is a result
    first.add("a", "eins")
    first.add("b", [1.5])
    with path.open("ab") as file:
        file.write(b'{"key": "c", "val')
    second = Journal(path, {"steps": 2})
    assert (second["a"], second["b"], "c" in second) == ("eins", [1.5], False)
    second.add("c", "drei")
    assert Journal(path, {"steps": 2})["c"] == "drei"
    assert [json.loads(line).get("key") for line in path.read_text().splitlines()] == [None, "a", "b", "c"]
    second.finish()
    assert not path.exists()


def test_a_journal_torn_in_its_first_line_is_begun_anew(tmp_path):
    path = tmp_path / "j"
    path.write_text('{"settings"')
    Journal(path, {"steps": 3}).add("a", 1)
    assert Journal(path, {"steps": 3})["a"] == 1


def test_a_journal_in_memory_leaves_no_file(tmp_path):
    journal = Journal(None, {})
    journal.add("a", 1)
    journal.finish()
    assert journal["a"] == 1
    assert not list(tmp_path.iterdir())


def test_other_settings_and_other_files_are_refused(tmp_path):
    path = tmp_path / "j"
    Journal(path, {"steps": 2, "prompt": "what?"}).add("a", 1)
    with pytest.raises(ConfigError, match=r"\(steps was 2, is now 3, seed was null, is now 1\); go on with its settings"):
        Journal(path, {"steps": 3, "prompt": "what?", "seed": 1})
    for content in ("no json\n", "[1]\n", '{"settings": {}}\n{"key": "a"}\n'):
        path.write_text(content)
        with pytest.raises(ConfigError, match="is no journal of an interrupted run"):
            Journal(path, {})
        assert path.read_text() == content


def test_long_settings_are_cut_in_the_message():
    with pytest.raises(ConfigError) as caught:
        refuse_changes({"prompt": "x" * 100}, {"prompt": "y"}, "It was made", "stop")
    assert str(caught.value) == f'It was made with other settings (prompt was "{"x" * 59}..., is now "y"); stop'
