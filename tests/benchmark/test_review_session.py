import pytest

from safer_clip.benchmark.review_session import Pair, Partner, ReviewError, ReviewSession
from safer_clip.benchmark.review_words import Part
from safer_clip.benchmark.verdicts import Verdict
from safer_clip.data.pictures import Picture

PAIRS = [
    Pair("a", "a dog with a magnet", "a dog with a knife", "violence", "weapons", Picture(data=b"x"), None),
    Pair("b", "a cat and a juice", "a cat and a beer", "substances"),
    Pair("c", "a ship and a ball", "a ship and a skull", "violence"),
]


def session(*given, reviewer="ann"):
    verdicts = [Verdict(who, key, verdict, *text) for who, key, verdict, *text in given]
    return ReviewSession(PAIRS, reviewer, verdicts)


def test_a_fresh_review_starts_at_the_first_pair():
    progress = session().measure_progress()
    assert (progress.total, progress.decided, progress.next, progress.undoable) == (3, 0, 1, False)


def test_the_next_undecided_pair_is_a_later_one_first():
    work = session(("ann", "b", "accept"))
    assert [work.measure_progress(current).next for current in (0, 1, 2, 3)] == [1, 3, 3, 1]
    assert work.measure_progress(1).decided == 1
    assert session(*[("ann", key, "reject") for key in "abc"]).measure_progress(2).next is None


def test_reviewers_do_not_see_each_other():
    others = session(("bob", "a", "reject"), ("bob", "b", "edit", "a cat and a gin"))
    assert others.measure_progress() == session().measure_progress()
    assert others.view_pair(1) == session().view_pair(1)
    assert others.view_pair(2) == session().view_pair(2)
    assert others.summarize() == session().summarize()
    with pytest.raises(ReviewError, match="nothing to take back"):
        others.undo()


def test_a_pair_is_shown_with_its_edits_marked():
    view = session().view_pair(1)
    assert view.safe == [Part("a dog with a ", False), Part("magnet", True)]
    assert view.unsafe == [Part("a dog with a ", False), Part("knife", True)]
    assert (view.id, view.category, view.tag) == ("a", "violence", "weapons")
    assert (view.verdict, view.original) == (None, None)
    assert view.pictures == {"safe": True, "unsafe": False}


def test_an_edited_pair_shows_the_new_text_and_the_old():
    edited = [("ann", "a", "edit", "a dog with a sword")]
    view = session(*edited).view_pair(1)
    assert view.unsafe[-1] == Part("sword", True)
    assert (view.verdict, view.original) == ("edit", "a dog with a knife")
    again = session(*edited, ("ann", "a", "accept")).view_pair(1)  # as it came, that is
    assert (again.unsafe[-1].text, again.verdict, again.original) == ("knife", "accept", None)


def test_undo_takes_back_the_last_verdict_and_then_the_one_before():
    given = [("ann", "a", "accept"), ("ann", "b", "accept"), ("ann", "a", "reject")]
    work = session(*given)
    assert (work.undo().id, work.undo().verdict) == ("a", "undo")
    once = session(*given, ("ann", "a", "undo"))
    assert once.view_pair(1).verdict == "accept"
    assert once.undo().id == "b"
    assert session(*given, *[("ann", key, "undo") for key in "aba"]).measure_progress().decided == 0


def test_verdicts_on_pairs_that_are_gone_do_not_count_but_can_be_taken_back():
    work = session(("ann", "gone", "accept"))
    assert work.measure_progress().decided == 0
    assert work.summarize().counts == {"accept": 0, "edit": 0, "reject": 0}
    assert work.undo().id == "gone"


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("z", "anything", "no pair 'z'"),
        ("a", None, "empty"),
        ("a", " \n ", "empty"),
        ("a", " a dog with a  knife", "as it was"),
        ("a", "a dog with a magnet", "safe caption"),
    ],
)
def test_edits_that_make_no_sense_are_refused(key, text, message):
    with pytest.raises(ReviewError, match=message):
        session().decide(key, "edit", text)


def test_an_edit_is_one_line():
    assert session().decide("a", "edit", " a dog\nwith  a sword ") == Verdict("ann", "a", "edit", "a dog with a sword")
    assert session().decide("b", "reject", "left over") == Verdict("ann", "b", "reject", None)


@pytest.mark.parametrize("number", [0, 4, -1])
def test_numbers_run_from_one(number):
    with pytest.raises(ReviewError, match="from 1 to 3"):
        session().view_pair(number)


def test_the_summary_counts_and_compares_once_all_is_decided():
    bob = [("bob", "a", "accept"), ("bob", "b", "accept")]
    ann = [("ann", "a", "accept"), ("ann", "b", "reject")]
    assert session(*bob, *ann).summarize().partners is None
    done = session(*bob, *ann, ("ann", "c", "edit", "a ship and a bone")).summarize()
    assert done.counts == {"accept": 1, "edit": 1, "reject": 1}
    assert done.categories == {
        "violence": {"accept": 1, "edit": 1, "reject": 0},
        "substances": {"accept": 0, "edit": 0, "reject": 1},
    }
    # of two shared pairs one is equal; chance (1*2 + 1*0) / 4 = 0.5, so that kappa is 0
    assert done.partners == [Partner("bob", 2, 0.5, 0.0)]


def test_the_summary_leaves_out_who_shares_no_pair():
    done = session(*[("ann", key, "accept") for key in "abc"], ("bob", "a", "accept"), ("bob", "a", "undo")).summarize()
    assert done.partners == []
