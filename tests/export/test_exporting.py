import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextModel, CLIPVisionModel
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError
from safer_clip.export import FORMATS, export_model
from safer_clip.export.exporting import ExportError
from safer_clip.export.probe import TEXTS, build_probe, embed_probe, largest_difference, smallest_cosine
from safer_clip.export.towers import SINGLE_FILE, TransformersExport
from safer_clip.miniature import load_tokenizer, model_folder
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.open_clip import convert_weights, describe_model
from stand_ins import train_briefly

WITH_TRANSFORMERS = ("transformers", "diffusers", "llava", "single-file")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that is in nothing like the miniature but its vocabulary: other widths, other depth, another activation."""
    tokenizer = load_tokenizer()
    text = {"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = {**text, "hidden_size": 48, "image_size": 32, "patch_size": 8, "hidden_act": "gelu", "num_hidden_layers": 3}
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": 24, "hidden_act": "gelu"}
    text["eos_token_id"] = tokenizer.eos_token_id
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=40)).train(False)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)  # biases and norms too: what is forgotten would go unseen at 0 and 1
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    path = tmp_path_factory.mktemp("model")
    DualEncoder(model, tokenizer, processor).save(path)
    return path


@pytest.mark.parametrize("name", WITH_TRANSFORMERS)
def test_an_export_answers_as_the_model_does(folder, name, tmp_path):
    record = export_model(folder, name, tmp_path / "out")
    assert record.max_abs_difference <= 1e-4
    assert record.cosine_min > 1 - 1e-6
    assert json.loads((tmp_path / "out" / "export.json").read_text())["format"] == name
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("name", ["onnx", "open_clip"])
def test_exports_to_other_runtimes(folder, name, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "open_clip": "open_clip"}[name])
    pytest.importorskip({"onnx": "onnxscript", "open_clip": "open_clip"}[name])
    record = export_model(folder, name, tmp_path / "out")
    assert record.max_abs_difference <= 1e-4 * 10  # outputs of this model reach 10 and more
    assert record.cosine_min > 1 - 1e-5


def test_diffusers_finds_encoder_and_tokenizer(folder, tmp_path):
    export_model(folder, "diffusers", tmp_path / "out")
    tower = CLIPTextModel.from_pretrained(tmp_path / "out" / "text_encoder")
    assert tower.config.hidden_size == 32
    assert (tmp_path / "out" / "tokenizer" / "tokenizer.json").is_file()


def test_llava_finds_tower_and_processor(folder, tmp_path):
    export_model(folder, "llava", tmp_path / "out")
    assert CLIPVisionModel.from_pretrained(tmp_path / "out").config.image_size == 32
    assert CLIPImageProcessorPil.from_pretrained(tmp_path / "out").crop_size["height"] == 32


def test_the_single_file_has_the_names_that_are_looked_for(folder, tmp_path):
    export_model(folder, "single-file", tmp_path / "out")
    names = load_file(tmp_path / "out" / SINGLE_FILE).keys()
    assert "text_model.encoder.layers.1.self_attn.q_proj.weight" in names
    assert "text_projection.weight" in names
    assert not any(name.startswith("vision") for name in names)


class Mimic(torch.nn.Module):
    """open_clip's residual block with its names, to check the conversion where open_clip is absent."""

    def __init__(self, width, heads, hidden, quick):
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attn = torch.nn.MultiheadAttention(width, heads, batch_first=True)
        activation = torch.nn.GELU()
        parts = {"c_fc": torch.nn.Linear(width, hidden), "gelu": activation, "c_proj": torch.nn.Linear(hidden, width)}
        self.mlp = torch.nn.Sequential()
        for name, part in parts.items():
            self.mlp.add_module(name, part)

    def forward(self, x, mask=None):
        normal = self.ln_1(x)
        x = x + self.attn(normal, normal, normal, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


@torch.inference_mode()
def test_converted_weights_mean_the_same_in_open_clip_s_blocks(folder):
    """Both towers rebuilt from open_clip's names with PyTorch's own attention."""
    encoder = DualEncoder.load(folder)
    probe, weights = build_probe(encoder), convert_weights(encoder.model)
    expected = embed_probe(encoder, probe)

    def run(prefix, layers, width, hidden, x, mask=None):
        for index in range(layers):
            block = Mimic(width, 4, hidden, quick=False).train(False)
            own = f"{prefix}resblocks.{index}."
            block.load_state_dict({k.removeprefix(own): v for k, v in weights.items() if k.startswith(own)}, strict=True)
            x = block(x, mask)
        return x

    def norm(name, x):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = weights["token_embedding.weight"][probe.input_ids] + weights["positional_embedding"]
    mask = torch.full((24, 24), -torch.inf).triu(1)
    x = norm("ln_final", run("transformer.", 2, 32, 96, x, mask))
    end = (probe.input_ids == encoder.tokenizer.eos_token_id).int().argmax(1)
    text = x[torch.arange(len(TEXTS)), end] @ weights["text_projection"]
    patches = torch.nn.functional.conv2d(probe.pixel_values, weights["visual.conv1.weight"], stride=8).flatten(2).mT
    start = weights["visual.class_embedding"].expand(len(patches), 1, -1)
    x = torch.cat([start, patches], 1) + weights["visual.positional_embedding"]
    x = run("visual.transformer.", 3, 48, 96, norm("visual.ln_pre", x))
    image = norm("visual.ln_post", x[:, 0]) @ weights["visual.proj"]
    found = {"text": text.numpy(), "image": image.numpy()}
    assert largest_difference(expected, found) < 1e-3
    assert smallest_cosine(expected, found) > 1 - 1e-5


def test_open_clip_s_configuration_carries_activation_and_pooling(folder, encoder):
    ours = describe_model(DualEncoder.load(folder))
    assert ours["quick_gelu"] is False
    assert ours["vision_cfg"] == {
        "image_size": 32,
        "layers": 3,
        "width": 48,
        "head_width": 12,
        "mlp_ratio": 2.0,
        "patch_size": 8,
    }
    assert describe_model(encoder)["quick_gelu"] is True
    encoder = DualEncoder.load(folder)
    encoder.model.config.vision_config.hidden_act = "quick_gelu"
    encoder.model.config.text_config.layer_norm_eps = 1e-6
    with pytest.raises(ConfigError, match=r"activations gelu \(text\) and quick_gelu.*layer_norm_eps 1e-06 of the text"):
        describe_model(encoder)


def test_a_wrong_export_is_refused_and_leaves_nothing(folder, tmp_path, monkeypatch):
    class Forgetful(TransformersExport):
        def write(self, encoder, folder):
            super().write(encoder, folder)
            weights = load_file(folder / "model.safetensors")
            weights["text_projection.weight"][0] *= 1.01
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setitem(FORMATS, "transformers", Forgetful())
    with pytest.raises(ExportError, match="answers otherwise"):
        export_model(folder, "transformers", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_differences_by_hand():
    expected = {"a": np.array([[3.0, 4.0]], np.float32), "b": np.array([[1.0, 0.0]], np.float32)}
    found = {"a": np.array([[3.0, 4.5]], np.float32), "b": np.array([[0.0, 1.0]], np.float32)}
    assert largest_difference(expected, found) == 1.0
    assert smallest_cosine(expected, found) == 0.0
    assert smallest_cosine({"a": expected["a"]}, {"a": 2 * expected["a"]}) == pytest.approx(1.0)


def test_the_command(tmp_path):
    arguments = ["export", "--model", str(model_folder()), "--format", "llava", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "export.json").read_text())["max_abs_difference"] <= 1e-4
    again = CliRunner().invoke(app, arguments)
    assert "not empty" in str(again.exception)
    unknown = CliRunner().invoke(app, [*arguments[:4], "gguf", *arguments[5:]])
    assert "there are transformers, open_clip" in str(unknown.exception)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    return train_briefly(tmp_path_factory.mktemp("tuned") / "safer")


def test_an_export_at_a_strength_is_the_model_at_that_strength(tuned, tmp_path):
    record = export_model(tuned, "transformers", tmp_path / "half", strength=0.5)
    assert record.strength == json.loads((tmp_path / "half" / "export.json").read_text())["strength"] == 0.5
    half, whole, base = (DualEncoder.load(folder).model for folder in (tmp_path / "half", tuned, model_folder()))
    name = "vision_model.encoder.layers.0.mlp.fc2.weight"
    middle = (whole.state_dict()[name] + base.state_dict()[name]) / 2
    assert torch.allclose(half.state_dict()[name], middle, atol=1e-6)
    assert record.max_abs_difference <= 1e-4


def test_an_export_at_full_strength_is_the_folder_s_own(tuned, tmp_path):
    whole = export_model(tuned, "transformers", tmp_path / "whole")
    full = export_model(tuned, "transformers", tmp_path / "full", strength=1.0, base="miniature")
    assert full.model_fingerprint == whole.model_fingerprint
    assert whole.strength is None
    none = export_model(tuned, "diffusers", tmp_path / "none", strength=0.0)
    assert none.model_fingerprint == export_model(model_folder(), "diffusers", tmp_path / "base").model_fingerprint


def test_a_strength_needs_an_adapter_and_a_base_model_a_strength(folder, tuned, tmp_path):
    with pytest.raises(ConfigError, match="adapter"):
        export_model(folder, "transformers", tmp_path / "out", strength=0.5, base="miniature")
    with pytest.raises(ConfigError, match="strength as well"):
        export_model(tuned, "transformers", tmp_path / "out", base="miniature")
    assert not (tmp_path / "out").exists()


def test_the_command_takes_a_strength(tuned, tmp_path):
    call = ["export", "--model", str(tuned), "--format", "llava", "--strength", "0.75", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "export.json").read_text())["strength"] == 0.75
