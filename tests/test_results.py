import json

import pytest
from pydantic import ValidationError

from safer_clip.errors import SaferClipError
from safer_clip.results import (
    Drift,
    Gallery,
    GalleryQuery,
    Hit,
    MethodResults,
    Results,
    ResultsError,
    RetrievalScores,
    Validity,
    load_results,
    save_results,
)


def make_results():
    scores = RetrievalScores(
        recall_1=51.5,
        recall_5=70.0,
        recall_10=80.25,
        recall_20=90.0,
        unsafe_rate=3.5,
        queries=200,
        intervals={"R@1": (45, 58)},
    )
    plain = RetrievalScores(recall_1=60, recall_5=70, recall_10=80, recall_20=90, queries=200)
    method = MethodResults(
        title="SafeR-CLIP",
        retrieval={"ViSU": {"T->V": scores, "V*->T": scores}},
        plain_retrieval={"ViSU": {"V->T": plain}},
        gallery_encoders={"ViSU": {"T*->V": {"base": 1.5, "tuned": 2.5}}},
        zero_shot={"shapes": 88.0, "mean": 88.0},
        zero_shot_intervals={"shapes": (80.5, 95.5)},
        drift=Drift(text=1.5, vision=2.5, epochs=[(0.5, 0.75), (1.5, 2.5)]),
        train_seconds=12.5,
        loss=[{"preserve_text": 0.25}],
        settings={"epochs": 2, "shares": [0.5], "note": "näh"},
        model_fingerprint="abc",
    )
    hits = [Hit(caption="a knife", unsafe=True, right=False), Hit(caption="a dog", picture="p1", unsafe=False, right=True)]
    words = GalleryQuery(benchmark="ViSU", direction="T->V", caption="a cat", hits={"safer_clip": hits})
    image = GalleryQuery(benchmark="ViSU", direction="V*->T", caption="a cat", picture="p1", hits={"clip": hits[:1]})
    return Results(
        created="2025-01-01T00:00:00+00:00",
        title="a run",
        command="safer-clip run",
        seed=3,
        versions={"torch": "2.5"},
        hardware={"cpu": "any"},
        data={"visu": {"rows": 10, "fingerprint": "f"}},
        base_model={"name": "tiny", "parameters": 1000},
        methods={"safer_clip": method},
        validity=Validity(
            pairing={"cosine": 0.5},
            oracle={"ViSU": {"1 nearest (gallery untouched)": {"T*->V": scores}}},
            controls={"ViSU": {"shuffled": {"T->V": scores}}},
        ),
        gallery=Gallery(
            pictures={"p1": "data:image/png;base64,AA=="},
            queries=[words, image],
        ),
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.json"


@pytest.fixture
def content(path):
    save_results(path, make_results())
    return json.loads(path.read_text(encoding="utf-8"))


def refuse(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ResultsError) as caught:
        load_results(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_round_trip(path):
    results = make_results()
    save_results(path, results)
    assert load_results(path) == results


def test_saving_what_was_loaded_changes_no_byte(path):
    save_results(path, make_results())
    before = path.read_bytes()
    save_results(path, load_results(path))
    assert path.read_bytes() == before


def test_keys_of_the_file(content):
    scores = content["methods"]["safer_clip"]["retrieval"]["ViSU"]["T->V"]
    assert set(scores) == {"R@1", "R@5", "R@10", "R@20", "unsafe_rate", "queries", "intervals"}
    assert scores["R@1"] == 51.5
    assert scores["intervals"] == {"R@1": [45.0, 58.0]}
    assert content["methods"]["safer_clip"]["plain_retrieval"]["ViSU"]["V->T"]["unsafe_rate"] is None
    assert content["schema_version"] == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_not_saved(path, content, value):
    before = path.read_bytes()
    methods = {"clip": MethodResults(title="CLIP", retrieval={}, train_seconds=value)}
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_results(path, make_results().model_copy(update={"methods": methods}))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_results_do_not_change_once_made():
    with pytest.raises(ValidationError, match="frozen"):
        make_results().seed = 4


def test_a_missing_file(path):
    with pytest.raises(ResultsError) as caught:
        load_results(path)
    assert str(caught.value) == f"{path} cannot be read: No such file or directory"
    assert isinstance(caught.value, SaferClipError)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ResultsError) as caught:
        load_results(tmp_path)
    assert str(caught.value) == f"{tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize("raw", [b"", b"{", b"not json", b"\xff\xfe\x00"])
def test_not_json(path, raw):
    path.write_bytes(raw)
    with pytest.raises(ResultsError, match="is not JSON") as caught:
        load_results(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [[], None, "text", 3])
def test_json_of_something_else(path, content):
    assert "does not follow schema 1" in refuse(path, content)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version(path, content, version):
    assert "\n  schema_version: " in refuse(path, content | {"schema_version": version})


def test_without_a_schema_version_it_is_another_kind_of_file(path, content):
    del content["schema_version"]
    assert refuse(path, content) == f"{path} names no schema_version; it is no results file of safer-clip"


def test_an_unknown_field_is_named(path, content):
    content["methods"]["safer_clip"]["drift"]["audio"] = 1.0
    assert "\n  methods.safer_clip.drift.audio: Extra inputs are not permitted" in refuse(path, content)


@pytest.mark.parametrize(
    "field", ["created", "title", "command", "seed", "versions", "hardware", "data", "base_model", "methods"]
)
def test_a_missing_field_is_named(path, content, field):
    del content[field]
    assert refuse(path, content).splitlines()[1:] == [f"  {field}: Field required"]


def test_a_missing_figure_is_named_as_in_the_file(path, content):
    del content["methods"]["safer_clip"]["retrieval"]["ViSU"]["T->V"]["R@5"]
    assert "\n  methods.safer_clip.retrieval.ViSU.T->V.R@5: Field required" in refuse(path, content)


def test_an_unknown_direction_is_named(path, content):
    retrieval = content["methods"]["safer_clip"]["retrieval"]["ViSU"]
    retrieval["T->T"] = retrieval["T->V"]
    assert "\n  methods.safer_clip.retrieval.ViSU.T->T" in refuse(path, content)


def test_all_wrong_fields_at_once(path, content):
    del content["title"]
    content["seed"] = "three"
    content["extra"] = 1
    content["methods"]["safer_clip"]["drift"]["text"] = "far"
    lines = refuse(path, content).splitlines()
    assert lines[0] == f"{path} does not follow schema 1:"
    assert {line.split(":")[0].strip() for line in lines[1:]} == {"title", "seed", "extra", "methods.safer_clip.drift.text"}
    assert len(lines) == 5
