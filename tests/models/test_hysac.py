"""HySAC's files as its authors' code writes them: towers wrapped by peft, each under its own name."""

import json
import math

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection
from typer.testing import CliRunner

from safer_clip.attacks.running import attack_model
from safer_clip.attacks.settings import AttackSettings
from safer_clip.benchmark.building import build
from safer_clip.benchmark.settings import BuildSettings, PictureSettings, RewriterSettings, SourceSettings
from safer_clip.cli import app
from safer_clip.comparison import evaluate
from safer_clip.config import EvaluateConfig, TrainConfig
from safer_clip.errors import ConfigError
from safer_clip.export import export_model
from safer_clip.miniature import load_encoder, load_split, model_folder
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.hysac import BOUNDS, WEIGHTS, load_hysac
from safer_clip.models.lora import SAFE_CLIP_TARGETS
from safer_clip.reference import encode_table
from safer_clip.tuning import train

BOUND = {"V": {"up_95": 0.6}, "S": {"up_95": 0.7}}


@pytest.fixture(scope="module")
def wrapped():
    """Both towers of the miniature with adapters that do something."""
    towers = {}
    for name, kind in (("visual", CLIPVisionModelWithProjection), ("textual", CLIPTextModelWithProjection)):
        torch.manual_seed(1)
        config = LoraConfig(r=16, lora_alpha=1, target_modules=list(SAFE_CLIP_TARGETS), lora_dropout=0.1, bias="none")
        towers[name] = get_peft_model(kind.from_pretrained(model_folder()), config).train(False)
        for parameter_name, parameter in towers[name].named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.5)
    return towers


@pytest.fixture
def published(wrapped, tmp_path):
    folder = tmp_path / "hysac"
    folder.mkdir()
    state = {"logit_scale": torch.tensor(4.6), "curv": torch.tensor(0.5)}
    state |= {"visual_alpha": torch.tensor(-1.0), "textual_alpha": torch.tensor(-0.5), "pixel_mean": torch.zeros(3, 1, 1)}
    for name, tower in wrapped.items():
        for key, weight in tower.state_dict().items():
            prefix, rest = key.split("base_model.model.", 1)
            # as transformers named the towers' layers when the weights were published
            flat = not rest.startswith(("vision_model", "text_model", "visual_projection", "text_projection"))
            rest = f"{'vision' if name == 'visual' else 'text'}_model.{rest}" if flat else rest
            state[f"{name}.{prefix}base_model.model.{rest}"] = weight.contiguous()
    save_file(state, folder / WEIGHTS)
    (folder / BOUNDS).write_text(json.dumps(BOUND))
    return folder


def test_published_files_answer_as_the_wrapped_towers_do(wrapped, published):
    found = load_hysac(published, model_folder())
    similarity = found.similarity
    assert (similarity.curvature, similarity.image_scale, similarity.text_scale) == pytest.approx(
        (math.exp(0.5), math.exp(-1.0), math.exp(-0.5))
    )
    assert (similarity.image_bound, similarity.text_bound) == (0.6, 0.7)
    inputs = found.preparation.prepare_texts(["a dog in the park", "two cats"])
    with torch.no_grad():
        expected = similarity.embed(wrapped["textual"](**inputs).text_embeds, "text").numpy()
    assert found.encode_texts(["a dog in the park", "two cats"]) == pytest.approx(expected, rel=1e-4, abs=1e-3)
    picture = load_split("mini_visu", rows=1)[0]["safe_image"]
    with torch.no_grad():
        features = wrapped["visual"](**found.preparation.prepare_images([picture])).image_embeds
    assert found.encode_images([picture]) == pytest.approx(similarity.embed(features, "image").numpy(), rel=1e-4, abs=1e-3)
    assert not np.allclose(found.encode_texts(["two cats"])[:, :-1], load_encoder().encode_texts(["two cats"]))


@pytest.fixture
def converted(published, tmp_path):
    command = ["convert", "--model", str(published), "--base", "miniature", "--output", str(tmp_path / "model")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return tmp_path / "model"


def test_a_converted_model_is_loaded_and_measured_by_its_own_similarity(converted, published, tmp_path):
    loaded, direct = DualEncoder.load(converted), load_hysac(published, model_folder())
    assert loaded.similarity == direct.similarity
    assert np.array_equal(loaded.encode_texts(["a dog"]), direct.encode_texts(["a dog"]))
    load_split("mini_nsfw_caps", rows=12).save_to_disk(tmp_path / "data")
    results = evaluate(EvaluateConfig(model=str(converted), base="miniature", data=str(tmp_path / "data")))
    found = results.methods["model"]
    assert set(found.retrieval["data"]) == {"T->V", "V->T", "T*->V", "V*->T"}
    assert found.gallery_encoders == {"data": {}} or found.gallery_encoders == {}  # another space than the base model's
    assert found.caption_redirection == {}
    assert 0 < found.geometry["data"].text_overlap <= 1


def test_it_cannot_be_trained_or_exported_as_if_it_compared_by_cosine(converted, tmp_path):
    with pytest.raises(ConfigError, match="training starts from a model that compares by cosine"):
        train(TrainConfig(model=str(converted), data="miniature", rows=16, batch_size=4, output=tmp_path / "out"))
    with pytest.raises(ConfigError, match="does not compare by cosine"):
        export_model(converted, "open_clip", tmp_path / "exported")
    record = export_model(converted, "transformers", tmp_path / "same")
    assert record.max_abs_difference == 0.0
    assert DualEncoder.load(tmp_path / "same").similarity == DualEncoder.load(converted).similarity


def test_attacks_search_as_the_model_does(converted):
    """Without any edit an attack has won where the model itself finds the unsafe partner first."""
    loaded, table = DualEncoder.load(converted), load_split("mini_nsfw_caps", rows=24)
    embedded = encode_table(loaded, table)
    found = attack_model(loaded, table, embedded, AttackSettings(quadruplets=24, tokens=(1,), pixels=(2,), steps=2))
    for direction, curve in (("T*->V", found.captions), ("V*->T", found.pictures)):
        queries, safe, unsafe = embedded.enter(direction)
        first = (queries @ np.concatenate([safe, unsafe]).T).argmax(axis=1)
        assert curve.rates["0"].success == pytest.approx(100 * (first == np.arange(24) + 24).mean())
        assert next(reversed(curve.rates.values())).success >= curve.rates["0"].success


def test_what_takes_cosines_for_granted_is_refused_before_any_work(converted, tmp_path):
    settings = BuildSettings(
        source=SourceSettings(data="miniature", captions=10),
        rewriter=RewriterSettings(name="offline"),
        encoder=str(converted),
        text_judges=(),
        image_judges=(),
        pictures=PictureSettings(generator="none"),
    )
    with pytest.raises(ConfigError, match="building a benchmark needs a model that compares by cosine"):
        build(tmp_path / "bench", settings)
    assert not (tmp_path / "bench").exists()


def test_what_is_none_of_hysacs_is_told(published, tmp_path):
    with pytest.raises(ConfigError, match=r"rewritten as safetensors"):
        load_hysac(tmp_path, model_folder())
    (published / BOUNDS).write_text('{"V": {}}')
    with pytest.raises(ConfigError, match="no bounds"):
        load_hysac(published, model_folder())
    save_file({"curv": torch.tensor(0.0)}, published / WEIGHTS)
    with pytest.raises(ConfigError, match="lacks visual_alpha, textual_alpha"):
        load_hysac(published, model_folder())
    for command in (["--model", str(published)], ["--model", str(tmp_path), "--base", "miniature"]):
        done = CliRunner().invoke(app, ["convert", *command, "--output", str(tmp_path / "x")])
        assert isinstance(done.exception, ConfigError)
