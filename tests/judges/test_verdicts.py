import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError, DataError
from safer_clip.judges.base import JudgeError
from safer_clip.judges.verdicts import judge_texts
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image
from stand_ins import write_classifier

CAPTIONS = ["a dog runs", "a cat", "", "a dog runs", "an apple"]


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "captions.jsonl"
    rows = [{"file": f"{number}.png", "caption": text} for number, text in enumerate(CAPTIONS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments):
    done = CliRunner().invoke(app, ["judge", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def score_by_length(body):
    """What the server says of a text or picture: the longer, the less safe."""
    text = body["messages"][0]["content"]
    return json.dumps({"unsafe": len(json.loads(text.split("\n\n")[1])) / 10})


def test_the_command_judges_a_folder(head, tmp_path):
    for index, pair in enumerate(draw_pairs("mini_nsfw_caps", rows=4)):
        folder = tmp_path / "pictures" / ("a" if index % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        render_image(pair.unsafe).save(folder / f"{index}.png")
    done = run("--images", tmp_path / "pictures", "--judge", head, "-o", tmp_path / "verdicts.json")
    assert "of 4 images are unsafe" in done.output
    told = json.loads((tmp_path / "verdicts.json").read_text())
    assert [item["file"] for item in told["images"]] == ["a/1.png", "a/3.png", "b/0.png", "b/2.png"]
    assert told["unsafe_rate"] == 100 * np.mean([item["unsafe"] for item in told["images"]])
    assert told["judges"] == {"q16-like 7": told["unsafe_rate"]}
    mean = 100 * np.mean([item["scores"]["q16-like 7"] for item in told["images"]])
    assert told["mean_scores"]["q16-like 7"] == pytest.approx(mean, abs=0.01)


def test_the_command_judges_texts_by_hand(server, captions, tmp_path):
    server.otherwise = score_by_length
    done = run("--texts", captions, "--judge", f"chat:m@{server.url}", "-o", tmp_path / "v.json")
    assert "80.0 % of 5 texts are unsafe" in done.output
    told = json.loads((tmp_path / "v.json").read_text())
    # lengths 10, 5, 0, 10, 8
    assert told["mean_scores"] == pytest.approx({"chat m": 66.0})
    assert (told["judges"], told["unsafe_rate"], told["empty"]) == ({"chat m": 80.0}, 80.0, 1)
    assert told["texts"][1] == {"row": 2, "file": "1.png", "scores": {"chat m": 0.5}, "unsafe": True}
    assert len(server.requests) == 3  # equal texts are asked about once, empty ones never
    assert not any(text in (tmp_path / "v.json").read_text() for text in CAPTIONS if text)


def test_verdicts_given_so_far_are_kept(server, captions, tmp_path):
    arguments = ["--texts", captions, "--judge", f"chat:m@{server.url}", "-o", tmp_path / "v.json"]
    server.answers += ['{"unsafe": 0.75}', '{"unsafe": 0.25}']
    with pytest.raises(JudgeError, match="nothing is left to say"):
        run(*arguments)
    assert not (tmp_path / "v.json").exists()
    journal = (tmp_path / "v.json.journal").read_text()
    assert not any(text in journal for text in CAPTIONS if text)
    with (tmp_path / "v.json.journal").open("a") as file:
        file.write('{"key": "torn')
    del server.requests[:]
    server.answers += ['{"unsafe": 1}']
    run(*arguments)
    assert len(server.requests) == 1
    scores = [text["scores"]["chat m"] for text in json.loads((tmp_path / "v.json").read_text())["texts"]]
    assert scores == [0.75, 0.25, 0.0, 0.75, 1.0]
    assert not (tmp_path / "v.json.journal").exists()


def test_pictures_are_resumed_and_another_judge_may_join(server, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        Image.new("RGB", (8, 8), (80 * index,) * 3).save(folder / f"{index}.png")
    arguments = ["--images", folder, "-o", tmp_path / "v.json", "--judge", f"chat:one@{server.url}"]
    server.answers += ['{"unsafe": 1}', '{"unsafe": 0}']
    with pytest.raises(JudgeError):
        run(*arguments)
    server.answers += ['{"unsafe": 1}', '{"unsafe": 0.5}', '{"unsafe": 0}', '{"unsafe": 0.25}']
    run(*arguments, "--judge", f"chat:two@{server.url}", "--combine", "all")
    told = json.loads((tmp_path / "v.json").read_text())
    assert [list(each["scores"].values()) for each in told["images"]] == [[1, 0.5], [0, 0], [1, 0.25]]
    assert [each["unsafe"] for each in told["images"]] == [True, False, False]
    assert told["judges"] == {"chat one": pytest.approx(200 / 3), "chat two": pytest.approx(100 / 3)}


def test_csv_and_several_judges(server, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text('id,caption\n1,"a dog, running"\n2,a cat\n')
    write_classifier(tmp_path / "toxic", ["toxic", "insult"], multi_label=True)
    server.otherwise = lambda body: '{"unsafe": 0.5}'
    told = judge_texts(table, [f"chat:m@{server.url}", f"classifier:{tmp_path / 'toxic'}"], "mean")
    assert len(told["judges"]) == len(told["mean_scores"]) == 2
    assert [text["row"] for text in told["texts"]] == [2, 3]


def test_wrong_calls_and_wrong_tables_are_told(captions, tmp_path):
    for extra in ([], ["--images", tmp_path, "--texts", captions]):
        with pytest.raises(ConfigError, match="either --images or --texts"):
            run(*extra, "--judge", "nudenet", "-o", tmp_path / "v.json")
    captions.write_text('{"captions": "secret words"}\n')
    with pytest.raises(DataError, match="column caption is missing; did you mean 'captions'"):
        judge_texts(captions, ["chat:m"])
    captions.write_text('{"caption": "fine"}\n{"caption": 7}\n{"caption": null}\n')
    with pytest.raises(DataError) as caught:
        judge_texts(captions, ["chat:m"])
    assert [problem.row for problem in caught.value.problems] == [2, 3]
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        run("--images", tmp_path, "--judge", "nudenet", "-o", tmp_path / "v.json")
    assert not list(tmp_path.glob("v.json*"))
