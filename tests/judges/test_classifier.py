import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification, ViTImageProcessorPil

from safer_clip.errors import ConfigError
from safer_clip.judges import load_judge, load_text_judge
from safer_clip.judges.classifier import sounds_unsafe
from stand_ins import build_tokenizer, write_classifier, write_image_classifier

TEXTS = ["a dog", "the red cat sits on the apple in the park", "an apple."]


def logits_of(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = build_tokenizer(
        ("a", "an", "the", "dog", "cat", "apple", "park", "sits", "runs", "in", "on", "with", "red", "small", "picture", ".")
    )
    with torch.inference_mode():  # one by one, so that padding is tested too
        return torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS])


def test_labels_that_exclude_each_other_are_summed(tmp_path):
    write_classifier(tmp_path, ["neutral", "hate", "OFFENSIVE"])
    judge = load_text_judge(f"classifier:{tmp_path}")
    expected = logits_of(tmp_path).softmax(dim=1)[:, 1:].sum(dim=1)
    assert judge.score(TEXTS) == pytest.approx(expected.numpy(), abs=1e-6)
    assert judge.name == tmp_path.name
    assert judge.version.endswith("(hate, OFFENSIVE)")


def test_of_independent_labels_the_largest_counts(tmp_path):
    write_classifier(tmp_path, ["toxic", "weather", "threat"], multi_label=True)
    judge = load_text_judge(f"classifier:{tmp_path}")
    expected = logits_of(tmp_path).sigmoid()[:, [0, 2]].amax(dim=1)
    assert judge.score(TEXTS) == pytest.approx(expected.numpy(), abs=1e-6)


def test_a_manifest_says_which_labels_count(tmp_path):
    write_classifier(tmp_path, ["LABEL_0", "LABEL_1", "LABEL_2"])
    with pytest.raises(ConfigError, match=r"which labels .* are unsafe\? It has LABEL_0, LABEL_1, LABEL_2; write"):
        load_text_judge(f"classifier:{tmp_path}")
    manifest = {"unsafe_labels": ["LABEL_1"], "name": "mine", "threshold": 0.2, "multi_label": True}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    judge = load_text_judge(f"classifier:{tmp_path}")
    assert (judge.name, judge.threshold) == ("mine", 0.2)
    assert judge.score(TEXTS) == pytest.approx(logits_of(tmp_path).sigmoid()[:, 1].numpy(), abs=1e-6)
    for content, told in (
        ("{", "is not JSON"),
        ('{"unsafe_labels": []}', "(?s)does not describe a classifier:.*unsafe_labels"),
        ('{"unsafe_labels": ["bad"]}', "labels that the classifier lacks: bad; it has LABEL_0"),
    ):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(ConfigError, match=told):
            load_text_judge(f"classifier:{tmp_path}")


def test_long_texts_are_cut_at_the_context(tmp_path):
    write_classifier(tmp_path, ["fine", "toxic"])
    judge = load_text_judge(f"classifier:{tmp_path}")
    long = " ".join(["dog"] * 100)
    assert judge.score([long]) == pytest.approx(judge.score([" ".join(["dog"] * 16)]), abs=1e-6)


def test_what_is_no_classifier_is_told(tmp_path):
    write_classifier(tmp_path / "all", ["toxic", "hate"])
    with pytest.raises(ConfigError, match=r"has no safe label \(toxic, hate\)"):
        load_text_judge(f"classifier:{tmp_path / 'all'}")
    with pytest.raises(ConfigError, match="there is no model folder"):
        load_text_judge(f"classifier:{tmp_path / 'absent'}")
    write_classifier(tmp_path / "base", ["fine", "toxic"])
    weights = load_file(tmp_path / "base" / "model.safetensors")
    headless = {name: part for name, part in weights.items() if not name.startswith("classifier")}
    save_file(headless, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 2 weights .* classifier\.bias"):  # or it would judge at random
        load_text_judge(f"classifier:{tmp_path / 'base'}")
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="from safetensors"):
        load_text_judge(f"classifier:{tmp_path / 'base'}")


def test_a_classifier_of_pictures(tmp_path):
    write_image_classifier(tmp_path, ["normal", "nsfw"])
    judge = load_judge(f"classifier:{tmp_path}")
    pictures = [Image.effect_noise((20 + 9 * i, 30), 80).convert("RGB") for i in range(3)]
    model, processor = AutoModelForImageClassification.from_pretrained(tmp_path).eval(), ViTImageProcessorPil
    with torch.inference_mode():
        pixels = processor.from_pretrained(tmp_path)(images=pictures, return_tensors="pt")
        expected = model(**pixels).logits.softmax(dim=1)[:, 1]
    assert judge.score(pictures) == pytest.approx(expected.numpy(), abs=1e-6)
    assert judge.version.endswith("(nsfw)")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match="has no ImageProcessor"):
        load_judge(f"classifier:{tmp_path}")


@pytest.mark.parametrize(
    "label", ["toxic", "severe_toxic", "NSFW", "identity_hate", "sexual/minors", "SexualContent", "unsafe"]
)
def test_unsafe_names(label):
    assert sounds_unsafe(label)


@pytest.mark.parametrize("label", ["non-toxic", "not_nsfw", "nothate", "NonHate", "safe", "LABEL_1", "neutral", "no hate"])
def test_safe_names(label):
    assert not sounds_unsafe(label)
