import pytest

from safer_clip.benchmark.verdicts import (
    VERDICTS_FILE,
    Settled,
    Verdict,
    append_verdict,
    find_last,
    find_standing,
    measure_agreement,
    read_verdicts,
    settle,
)
from safer_clip.errors import DataError


def says(reviewer, key, verdict, text=None, time="2026-01-01T00:00:00+00:00"):
    return Verdict(reviewer, key, verdict, text, time)


def test_a_verdict_is_on_disk_and_read_back(tmp_path):
    given = [says("ann", "a", "accept"), says("ann", "b", "edit", "a dog with a knife"), says("ann", "b", "undo")]
    for each in given:
        append_verdict(tmp_path, each)
    assert read_verdicts(tmp_path) == given
    assert append_verdict(tmp_path, Verdict("ann", "c", "reject")).time.endswith("+00:00")


def test_a_torn_line_is_passed_over_and_cut_off(tmp_path):
    path = tmp_path / VERDICTS_FILE
    append_verdict(tmp_path, says("ann", "a", "accept"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert len(read_verdicts(tmp_path)) == 1
    append_verdict(tmp_path, says("ann", "b", "reject"))
    assert [each.id for each in read_verdicts(tmp_path)] == ["a", "b"]
    path.write_bytes(b'{"torn')
    append_verdict(tmp_path, says("ann", "c", "reject"))
    assert [each.id for each in read_verdicts(tmp_path)] == ["c"]


def test_unsound_verdicts_are_refused_all_at_once(tmp_path):
    with pytest.raises(DataError, match="an edit needs the new text"):
        append_verdict(tmp_path, Verdict("ann", "a", "edit", " "))
    assert not (tmp_path / VERDICTS_FILE).exists()
    (tmp_path / VERDICTS_FILE).write_text('{"reviewer": "", "id": "a", "verdict": "maybe"}\n{"id": 3}\n')
    with pytest.raises(DataError) as caught:
        read_verdicts(tmp_path)
    assert [(each.row, each.field) for each in caught.value.problems] == [
        (1, "reviewer"),
        (1, "verdict"),
        (2, "reviewer"),
        (2, "id"),
        (2, "verdict"),
    ]
    (tmp_path / VERDICTS_FILE).write_text("nonsense\n")
    with pytest.raises(DataError, match="line 1"):
        read_verdicts(tmp_path)


def test_the_last_verdict_that_was_not_taken_back_counts():
    given = [
        says("ann", "a", "accept"),
        says("ann", "b", "accept"),
        says("bob", "a", "reject"),
        says("ann", "a", "reject"),
        says("ann", "a", "undo"),  # the rejection: the acceptance counts again
        says("ann", "b", "undo"),  # b's acceptance
        says("bob", "a", "undo"),
        says("bob", "a", "undo"),  # nothing left
    ]
    standing = find_standing(given)
    assert {key: each.verdict for key, each in standing["ann"].items()} == {"a": "accept"}
    assert standing["bob"] == {}


def test_an_undo_would_take_back_the_latest_verdict_not_the_latest_new_pair():
    given = [says("ann", "a", "accept"), says("ann", "b", "accept"), says("ann", "a", "reject"), says("bob", "c", "accept")]
    last = find_last(given, "ann")
    assert (last.id, last.verdict) == ("a", "reject")
    last = find_last([*given, says("ann", "a", "undo")], "ann")
    assert (last.id, last.verdict) == ("b", "accept")
    assert find_last(given, "cy") is None
    assert find_last([says("ann", "a", "accept"), says("ann", "a", "undo")], "ann") is None


def test_one_rejection_is_enough_and_the_latest_edit_is_taken():
    standing = find_standing(
        [
            says("ann", "a", "accept"),
            says("bob", "a", "reject"),
            says("bob", "b", "edit", "later", "2026-01-02T00:00:00+00:00"),
            says("ann", "b", "edit", "earlier"),
            says("ann", "c", "accept"),
        ]
    )
    assert settle(standing) == {
        "a": Settled(False, None, True),
        "b": Settled(True, "later", False),
        "c": Settled(True, None, False),
    }


def test_agreement_by_hand():
    # 4 shared pairs, 3 equal: 0.75; chance (3*2 + 1*2) / 16 = 0.5; kappa (0.75 - 0.5) / 0.5
    ann, bob = ("accept", "accept", "accept", "reject", "accept"), ("accept", "accept", "reject", "reject")
    given = [says("ann", str(i), each) for i, each in enumerate(ann)] + [
        says("bob", str(i), each) for i, each in enumerate(bob)
    ]
    found = measure_agreement(find_standing(given))
    assert (found.pairs, found.agreement, found.kappa) == (4, 0.75, 0.5)
    alike = measure_agreement(find_standing([says("ann", "a", "accept"), says("bob", "a", "accept")]))
    assert (alike.pairs, alike.agreement, alike.kappa) == (1, 1.0, None)
    assert measure_agreement(find_standing([says("ann", "a", "accept")])).agreement is None
