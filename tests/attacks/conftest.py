import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from safer_clip.miniature import load_tokenizer
from safer_clip.models.dual_encoder import DualEncoder


@pytest.fixture(scope="module")
def exact():
    """A tiny random CLIP in double precision, so that finite differences mean something."""
    tokenizer = load_tokenizer()
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "eos_token_id": tokenizer.eos_token_id}
    vision = {**sizes, "image_size": 8, "patch_size": 4}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).train(False)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    return DualEncoder(model.double(), tokenizer, processor)
