import numpy as np
import pytest

from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.evaluation.suite import ClassificationSet, add_zero_shot, classify_set, classify_sets, score_model
from safer_clip.miniature import load_zero_shot
from safer_clip.miniature.measures import measure_zero_shot
from safer_clip.miniature.rendering import render_image


@pytest.fixture(scope="module")
def places():
    found = next(each for each in load_zero_shot() if each.name == "places")
    images = [render_image(scene) for scene in found.scenes]
    return found, ClassificationSet(found.name, images, found.labels, found.prompts)


def test_a_set_is_classified_as_the_miniature_does(encoder, places):
    mine, theirs = places
    share = 100.0 * float((classify_set(encoder, theirs) == np.asarray(theirs.labels)).mean())
    assert share == pytest.approx(measure_zero_shot(encoder, mine))


def test_zero_shot_is_added_to_the_results(encoder, places):
    rows = QuadrupletEmbeddings(*(np.eye(4)[i : i + 1] for i in range(4)))
    results = score_model("CLIP", {"toy": rows}, {"toy": rows})
    told = add_zero_shot(results, classify_sets(encoder, [places[1]]))
    assert told.zero_shot["mean"] == told.zero_shot["places"] > 90
    assert told.zero_shot_intervals["mean"][0] <= told.zero_shot["mean"]
    assert results.zero_shot == {}


def test_which_side_moved_is_told():
    eye = np.eye(40)
    base = QuadrupletEmbeddings(eye[:10], eye[10:20], eye[:10], eye[10:20])
    # the tuned model sends unsafe captions to the safe ones, and unsafe pictures there as well
    tuned = QuadrupletEmbeddings(eye[:10], eye[:10], eye[:10], eye[:10])
    results = score_model("tuned", {"toy": tuned}, {"toy": base})
    moved = results.gallery_encoders["toy"]["T*->V"]
    assert moved["base"] == 100.0
    # with its own gallery the unsafe picture stands on the safe one: a tie is no success
    assert moved["tuned"] == results.retrieval["toy"]["T*->V"].recall_1 == 0.0
    assert results.plain_retrieval["toy"]["T*->V"].recall_1 == 100.0
