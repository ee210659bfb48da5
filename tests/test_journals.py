"""Two processes write to one journal; here they are two open files, which a lock tells apart just as well."""

import threading

import pytest

from safer_clip.journals import append_rows, read_journal

fcntl = pytest.importorskip("fcntl", reason="there is nothing to lock files with here")


def test_a_line_that_another_is_still_writing_is_not_taken_for_a_torn_one(tmp_path):
    path = tmp_path / "journal.jsonl"
    with path.open("ab", buffering=0) as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_EX)
        other.write(b'{"from": "the ')
        writer = threading.Thread(target=append_rows, args=(path, [{"from": "us"}]))
        writer.start()
        writer.join(timeout=0.3)
        assert writer.is_alive()
        other.write(b'other"}\n')
        fcntl.flock(other.fileno(), fcntl.LOCK_UN)
        writer.join(timeout=10)
    assert read_journal(path) == [{"from": "the other"}, {"from": "us"}]
