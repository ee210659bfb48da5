import numpy as np

from safer_clip.data import Quadruplet, build_table
from safer_clip.labels import read_labels, tell_unlabelled
from safer_clip.miniature import load_split


def write(*labels):
    rows = [
        Quadruplet(str(i), "a dog", "a knife", text_unsafe=text, image_unsafe=image)
        for i, (text, image) in enumerate(labels)
    ]
    return build_table(rows)


def test_what_has_no_label_counts_as_unsafe():
    found = read_labels(write((True, False), (False, None), (None, True)))
    assert found.text_unsafe.tolist() == [True, False, True]
    assert found.image_unsafe.tolist() == [False, True, True]
    assert found.text_unsafe.dtype == np.bool_


def test_absent_labels_are_counted():
    assert tell_unlabelled(write((True, None), (False, None))) is None  # there are no pictures that a label could be of
    told = tell_unlabelled(write((None, None), (False, None)))
    assert told == "No label on the unsafe side of 1 of 2 captions: they count as unsafe"


def test_absent_labels_of_pictures_are_counted_where_there_are_pictures():
    table = load_split("mini_visu", rows=3).remove_columns("image_unsafe").add_column("image_unsafe", [None, True, None])
    assert tell_unlabelled(table) == "No label on the unsafe side of 2 of 3 pictures: they count as unsafe"
