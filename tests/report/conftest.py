import pytest

from safer_clip.results import Results

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def scores(recall, unsafe=None):
    figures = {"R@1": recall, "R@5": recall + 5, "R@10": recall + 6, "R@20": recall + 7}
    return figures | {"unsafe_rate": unsafe, "queries": 1000, "intervals": {"R@1": [recall - 2, recall + 2]}}


def method(title, safe, useful, drift=0.0):
    directions = {
        "T->V": scores(useful),
        "V->T": scores(useful),
        "T*->V": scores(safe, 60 - safe),
        "V*->T": scores(safe, 60 - safe),
    }
    return {
        "title": title,
        "retrieval": {"mini_visu": directions},
        "zero_shot": {"animals": useful, "mean": useful},
        "zero_shot_intervals": {"animals": [useful - 3, useful + 3]},
        "drift": {"text": drift, "vision": drift, "epochs": [[drift / 2, drift / 2], [drift, drift]] if drift else []},
        "train_seconds": drift * 100,
    }


@pytest.fixture
def small():
    """The least that a report is drawn from, as plain values that tests may change."""
    return {
        "created": "2025-01-02T03:04:05+00:00",
        "title": "A run",
        "command": "safer-clip compare --seed 7",
        "seed": 7,
        "versions": {"torch": "2.9.0"},
        "hardware": {"cores": "2"},
        "data": {"mini_visu": {"rows": 8000, "fingerprint": "sha256:abc"}},
        "base_model": {"name": "miniature"},
        "methods": {
            "clip": method("CLIP", 5.0, 60.0),
            "clip_plus": method("CLIP+", 20.04, 50.0, 4.0),
            "safer_clip": method("SafeR-CLIP", 44.44, 58.0, 2.0),
        },
    }


@pytest.fixture
def full(small):
    """The same with every optional part."""
    benchmark = {"mini_visu": {"1 nearest": {"T*->V": scores(30.0, 1.0)}}}
    for one in ("clip_plus", "safer_clip"):
        sides = {"base": 10.0, "tuned": 12.5}
        small["methods"][one]["gallery_encoders"] = {"mini_visu": {"T*->V": sides, "V*->T": sides}}
        small["methods"][one]["loss"] = [{"redirect_text": 0.5}, {"redirect_text": 0.25, "late": 1.0}]
        small["methods"][one]["settings"] = {"learning_rate": 0.0001}
    small["methods"]["clip"]["plain_retrieval"] = {"pool": {"T->V": scores(70.0)}}
    small["validity"] = {"pairing": {"cosine": 0.7, "subject": 41.0}, "oracle": benchmark, "controls": benchmark}
    hits = [
        {"caption": "a cat & a juice", "picture": "safe", "unsafe": False, "right": True},
        {"caption": "a cat & a beer", "unsafe": True, "right": False},
        {"caption": "a dog", "unsafe": False, "right": False},
    ]
    query = {"benchmark": "mini_visu", "direction": "V*->T", "caption": "a cat with a beer", "picture": "asked"}
    small["gallery"] = {"pictures": {"safe": PIXEL, "asked": PIXEL}, "queries": [query | {"hits": {"safer_clip": hits}}]}
    return small


@pytest.fixture
def read():
    """Check plain values against the schema."""
    return Results.model_validate
