import pytest
import yaml

from safer_clip.errors import ConfigError
from safer_clip.report.card import render_card, write_card


def metadata(card):
    return yaml.safe_load(card.split("---")[1])


def test_a_card_has_both_safety_directions_and_utility(full, read):
    full["methods"]["safer_clip"]["settings"] = {"learning_rate": 0.001, "rows": None}
    card = render_card(read(full), "safer-vit", licence="mit")
    (row,) = [line for line in card.splitlines() if line.startswith("| SafeR-CLIP |")][:1]
    assert "44.4 (42.4–46.4)" in row
    assert row.count("58.0") >= 2
    assert any(line.startswith("| CLIP |") for line in card.splitlines())
    assert "CLIP+" not in card
    assert "learning_rate: `0.001`" in card
    assert "rows" not in card.split("## Training")[1].split("## Limits")[0]
    assert "yousaf2026safer" in card
    assert "text 2.0, vision 2.0" in card


def test_metadata_is_the_hub_s(full, read):
    full["base_model"]["name"] = "openai/clip-vit-large-patch14"
    told = metadata(render_card(read(full), "safer-vit", licence="mit"))
    assert (told["license"], told["base_model"]) == ("mit", "openai/clip-vit-large-patch14")
    assert told["pipeline_tag"] == "zero-shot-image-classification"
    assert "safer-clip" in told["tags"]


@pytest.mark.parametrize("name", ["/home/me/models/clip", "./clip", "miniature", "a/b/c"])
def test_a_local_base_is_not_given_to_the_hub(full, read, name):
    full["base_model"]["name"] = name
    assert "base_model" not in metadata(render_card(read(full), "x"))


def test_no_caption_and_no_picture_of_the_data_is_in_it(full, read):
    card = render_card(read(full), "x")
    for query in full["gallery"]["queries"]:
        assert query["caption"] not in card
    assert "data:image" not in card


def test_another_method_cites_its_own_paper_too(full, read):
    full["methods"]["safe_clip"] = full["methods"]["clip_plus"]
    card = render_card(read(full), "x", method="safe_clip")
    assert card.index("poppi2024safe") < card.index("yousaf2026safer")
    with pytest.raises(ConfigError, match="no method 'y'"):
        render_card(read(full), "x", method="y")


def test_a_model_alone_has_a_card(small, read, tmp_path):
    small["methods"] = {"clip": small["methods"]["clip"]}
    write_card(read(small), tmp_path / "README.md", "alone")
    assert "# alone" in (tmp_path / "README.md").read_text()
