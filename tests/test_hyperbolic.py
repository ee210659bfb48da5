import numpy as np
import pytest

from safer_clip.comparison import evaluate
from safer_clip.config import EvaluateConfig, TrainConfig
from safer_clip.hyperbolic import bound_traversal, enter_hyperbolic
from safer_clip.miniature import load_split
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.lora import LoraSettings
from safer_clip.models.similarity import Lorentz
from safer_clip.tuning import train


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "validation").select(range(24))


def test_safe_items_lie_at_a_distance_of_one_on_average(encoder, table):
    entered = enter_hyperbolic(encoder, table, 2.0)
    for rows in (entered.encode_texts(table["safe_caption"]), entered.encode_images(table["safe_image"])):
        assert entered.similarity.distance_from_root(rows).mean() == pytest.approx(1.0, rel=1e-3)
    # directions are those of the cosine
    texts = table["safe_caption"][:4]
    assert np.allclose(entered.similarity.as_directions(entered.encode_texts(texts)), encoder.encode_texts(texts), atol=1e-5)


def test_bounds_are_percentiles_of_the_distances_of_safe_items(encoder, table):
    bound = bound_traversal(enter_hyperbolic(encoder, table, 1.0), table)
    distances = bound.similarity.distance_from_root(bound.encode_texts(table["safe_caption"]))
    assert bound.similarity.text_bound == pytest.approx(np.percentile(distances, 95))
    without = table.map(lambda _: {"safe_image": None}, load_from_cache_file=False, keep_in_memory=True)
    assert bound_traversal(enter_hyperbolic(encoder, without, 1.0), without).similarity.image_bound is None


def test_hysac_is_trained_written_and_measured_in_its_own_space(table, tmp_path):
    table.save_to_disk(tmp_path / "data")
    settings = {"model": "miniature", "data": str(tmp_path / "data"), "output": tmp_path / "out", "method": "hysac"}
    tuned = train(TrainConfig(**settings, batch_size=8, epochs=4, learning_rate=3e-3, lora=LoraSettings(rank=4)))
    first, last = (sum(epoch.values()) for epoch in (tuned.progress.losses[0], tuned.progress.losses[-1]))
    assert last < first
    assert min(tuned.progress.drift[-1]) > 0
    loaded = DualEncoder.load(tmp_path / "out")
    assert isinstance(loaded.similarity, Lorentz) and loaded.similarity == tuned.encoder.similarity
    assert loaded.similarity.text_bound and loaded.similarity.image_bound
    found = evaluate(EvaluateConfig(model=str(tmp_path / "out"), base="miniature", data=str(tmp_path / "data"))).methods
    assert found["hysac"].title == "HySAC"
    assert set(found["hysac"].retrieval["data"]) == {"T->V", "V->T", "T*->V", "V*->T"}
