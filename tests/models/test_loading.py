import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModel

from safer_clip.errors import ConfigError
from safer_clip.export.towers import extract_vision_tower
from safer_clip.models.loading import load_preparation, load_whole


def test_weights_that_lack_are_not_made_up(encoder, tmp_path):
    extract_vision_tower(encoder).save_pretrained(tmp_path)
    load_whole(CLIPVisionModel, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    names = [name for name in weights if "layers.0.mlp" in name]
    save_file({name: part for name, part in weights.items() if name not in names}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=rf"lacks {len(names)} weights of a CLIPVisionModel: .*layers\.0\.mlp.* \.\.\.$"):
        load_whole(CLIPVisionModel, tmp_path)


def test_pickles_damaged_files_and_empty_folders_are_told(encoder, tmp_path):
    with pytest.raises(ConfigError, match="cannot be loaded as CLIPTextModel from safetensors"):
        load_whole(CLIPTextModel, tmp_path)
    with pytest.raises(ConfigError, match="has no Tokenizer"):
        load_preparation(AutoTokenizer, tmp_path)
    extract_vision_tower(encoder).save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="cannot be loaded as CLIPVisionModel from safetensors"):
        load_whole(CLIPVisionModel, tmp_path)
    weights.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be loaded as CLIPVisionModel from safetensors"):
        load_whole(CLIPVisionModel, tmp_path)
