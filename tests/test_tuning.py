import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset, Image

from safer_clip import tuning
from safer_clip.config import DataConfig, TrainConfig
from safer_clip.errors import ConfigError
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.miniature import load_encoder, load_split
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.lora import LoraSettings
from safer_clip.models.strength import load_adapter
from safer_clip.reference import SIDES, ReferenceKey, encode_table, open_store
from safer_clip.trainer import SafetyTrainer, TrainingError
from safer_clip.tuning import TRAINING_FILE, load_data, pair_rows, plan_training, read_training, train, tune


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "validation").select(range(12))


@pytest.fixture(scope="module")
def data(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "table"
    table.save_to_disk(folder)
    return str(folder)


@pytest.fixture
def configure(data, tmp_path):
    """Nine steps of four rows in three epochs, with dropout and a checkpoint every other step."""

    def make(name="out", **settings):
        defaults = {
            "model": "miniature",
            "data": data,
            "output": tmp_path / name,
            "batch_size": 4,
            "epochs": 3,
            "curriculum": (),
            "learning_rate": 1e-3,
            "save_every": 2,
            "lora": LoraSettings(rank=4, dropout=0.2),
        }
        return TrainConfig(**(defaults | settings))

    return make


def equal_weights(one, other):
    ours, theirs = one.encoder.model.state_dict(), other.encoder.model.state_dict()
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


class KilledError(BaseException):
    """What a test raises where a process would die."""


@pytest.fixture(scope="module")
def tuned(data, tmp_path_factory):
    """A whole run of two steps and its folder."""
    output = tmp_path_factory.mktemp("run") / "out"
    config = TrainConfig(
        model="miniature", data=data, output=output, batch_size=4, max_steps=2, curriculum=(), learning_rate=5e-3
    )
    said: list[str] = []
    return train(config, said.append), output, said


def test_the_folder_is_the_tuned_model(tuned, table):
    result, output, _ = tuned
    loaded = DualEncoder.load(output)
    returned, read = encode_table(result.encoder, table), encode_table(loaded, table)
    before = encode_table(load_encoder(), table)
    for side in SIDES:
        assert np.array_equal(getattr(returned, side), getattr(read, side))
        assert np.abs(getattr(returned, side) - getattr(before, side)).max() > 1e-3
    assert not any("lora" in name for name in loaded.model.state_dict())
    assert not result.encoder.model.training


def test_the_folder_says_how_it_came_about(tuned):
    result, output, said = tuned
    told = json.loads((output / TRAINING_FILE).read_text())
    assert told["config"]["batch_size"] == 4
    assert told["config"]["lora"]["rank"] == 16
    assert told["loss"] == result.progress.losses
    assert told["drift"] == [list(drift) for drift in result.progress.drift]
    assert told["pairing_cosine"] == pytest.approx(float(result.pairing.cosines.mean()))
    assert (output / "adapter" / "adapter_model.safetensors").is_file()
    assert result.settings["learning_rate"] == 5e-3
    assert "12 quadruplets" in said[0]
    assert len(said) == 2


def test_the_reference_is_the_untrained_model(tuned, data, table):
    _, output, _ = tuned
    frozen = load_encoder()
    key = ReferenceKey.of(frozen, load_data(TrainConfig(model="", data=data, output="")))
    stored = open_store(output / "reference" / key.name, key, 12)
    expected = encode_table(frozen, table)
    for side in SIDES:
        assert np.array_equal(getattr(stored, side), getattr(expected, side))


def test_an_output_in_use_is_refused(tuned, configure):
    _, output, _ = tuned
    before = (output / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(ConfigError, match="not empty"):
        train(configure(output=output))
    assert (output / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(("method", "accumulation"), [("safer_clip", 1), ("safe_clip", 2)])
def test_a_resumed_run_ends_with_the_same_bits(configure, monkeypatch, method, accumulation):
    settings = {"accumulation": accumulation, "method": method}
    whole = train(configure("whole", **settings))
    step = SafetyTrainer.training_step

    def die_in_the_middle(self, *rest):
        if (self.state.global_step, self.progress.batches) == ((5, 2) if accumulation == 1 else (3, 1)):
            raise KilledError
        return step(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(SafetyTrainer, "training_step", die_in_the_middle)
        with pytest.raises(KilledError):
            train(configure("killed", **settings))
    last = 4 if accumulation == 1 else 2
    assert (configure("killed").output / "checkpoints" / f"checkpoint-{last}").is_dir()
    steps: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(SafetyTrainer, "training_step", lambda s, *r: steps.append(s.state.global_step) or step(s, *r))
        resumed = train(configure("killed", **settings), resume=True)
    assert steps[0] == last
    assert equal_weights(whole, resumed)
    assert resumed.progress == whole.progress
    assert min(resumed.progress.drift[-1]) > 0


def test_resuming_without_a_checkpoint_starts_anew(configure):
    settings = {"max_steps": 2, "save_every": 0}
    whole = train(configure("whole", **settings))
    assert equal_weights(whole, train(configure("fresh", **settings), resume=True))


def test_resuming_a_finished_run_changes_nothing(configure):
    whole = train(configure(max_steps=2))
    again = train(configure(max_steps=2), resume=True)
    assert equal_weights(whole, again)
    assert again.progress == whole.progress


SCRIPT = """
import os, signal, sys
from safer_clip import checkpoints, trainer
from safer_clip.config import TrainConfig
from safer_clip.tuning import train

def die():
    os.kill(os.getpid(), signal.SIGKILL)

step = trainer.SafetyTrainer.training_step
save = trainer.save_optimizer

def training_step(self, *rest):
    if sys.argv[1] == "stepping" and self.state.global_step == 5:
        die()
    return step(self, *rest)

def save_optimizer(folder, *rest):
    if sys.argv[1] == "saving" and folder.name == "checkpoint-6":
        die()
    save(folder, *rest)

trainer.SafetyTrainer.training_step = training_step
trainer.save_optimizer = save_optimizer
train(TrainConfig.model_validate_json(sys.argv[2]))
"""


def test_checkpointing_activations_changes_no_weight(configure):
    plain, frugal = (train(configure(f"out-{on}", max_steps=2, gradient_checkpointing=on)) for on in (False, True))
    assert any(getattr(module, "gradient_checkpointing", False) for module in frugal.encoder.model.modules())
    ours, theirs = plain.encoder.model.state_dict(), frugal.encoder.model.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_a_plan_counts_what_would_be_trained(configure):
    plan = plan_training(configure(curriculum=(0.5,), accumulation=2, epochs=2))
    # six of twelve rows at first, of which a batch of four is used, then all: four batches in two steps
    assert (len(plan.table), plan.steps, plan.rows_by_epoch) == (12, 2, (4, 12))
    assert plan_training(configure(max_steps=1)).steps == 1
    assert not configure().output.exists()
    with pytest.raises(ConfigError, match="fewer than a batch"):
        plan_training(configure(batch_size=13))


def test_a_run_is_not_resumed_with_other_settings(configure):
    train(configure(max_steps=2))
    with pytest.raises(ConfigError, match=r"learning_rate: 0\.001 then, 0\.5 now"):
        train(configure(max_steps=2, learning_rate=0.5), resume=True)
    train(configure(max_steps=2, save_every=1), resume=True)  # how often to save does not influence the weights


@pytest.mark.slow
@pytest.mark.parametrize("when", ["stepping", "saving"])
def test_a_killed_process_is_resumed_with_the_same_bits(configure, when):
    config = configure("killed")
    command = [sys.executable, "-c", SCRIPT, when, config.model_dump_json()]
    killed = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (config.output / "checkpoints" / "checkpoint-6").is_dir() == (when == "saving")
    assert not (config.output / "model.safetensors").exists()
    resumed = train(config, resume=True)
    whole = train(configure("whole"))
    assert equal_weights(whole, resumed)
    assert resumed.progress == whole.progress


def confuse_captions(table: Dataset) -> Dataset:
    """Give each safe picture another's caption, so that fine-tuning on safe pairs has something to learn."""
    captions = table["safe_caption"][:]
    columns = table.cast_column("safe_image", Image(decode=False)).cast_column("unsafe_image", Image(decode=False)).to_dict()
    return Dataset.from_dict(columns | {"safe_caption": captions[1:] + captions[:1]}, features=table.features)


@pytest.mark.parametrize("method", ["safer_clip", "safe_clip", "clip_plus"])
def test_the_loss_falls(table, tmp_path, method):
    rows = table.select(range(6))
    if method == "clip_plus":
        rows = confuse_captions(rows)
    settings = {
        "method": method,
        "batch_size": 6,
        "epochs": 20,
        "curriculum": (),
        "learning_rate": 1e-3,
        "lora": LoraSettings(),
    }
    config = TrainConfig(model="", data="", output=tmp_path, **settings)
    encoder = load_encoder()
    losses = [sum(terms.values()) for terms in tune(encoder, rows, encode_table(encoder, rows), config).progress.losses]
    assert len(losses) == 20
    assert losses[-1] < 0.95 * losses[0], losses


@pytest.mark.parametrize("pairing", ["own", "nearest"])
def test_pairing(table, tmp_path, pairing):
    config = TrainConfig(
        model="",
        data="",
        output=tmp_path,
        pairing=pairing,
        batch_size=4,
        max_steps=1,
        curriculum=(),
        lora=LoraSettings(rank=2),
    )
    encoder = load_encoder()
    reference = encode_table(encoder, table)
    cosines = reference.unsafe_text @ reference.safe_text.T
    wanted = np.arange(12) if pairing == "own" else cosines.argmax(axis=1)
    assert pairing == "own" or (wanted != np.arange(12)).any()
    found = tune(encoder, table, reference, config).pairing
    assert found.targets.tolist() == wanted.tolist()
    assert found.cosines == pytest.approx(cosines[np.arange(12), wanted], abs=1e-5)


def test_pairs_by_hand():
    safe, unsafe = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[1, 1, 0]]
    embeddings = QuadrupletEmbeddings(safe, unsafe, safe, unsafe)
    assert pair_rows(embeddings, "own").targets.tolist() == [0, 1, 2]
    assert pair_rows(embeddings, "own").cosines.tolist() == [0, 1, 0]
    assert pair_rows(embeddings, "nearest").targets.tolist() == [1, 1, 0]
    assert pair_rows(embeddings, "nearest").cosines.tolist() == [1, 1, 1]


@pytest.mark.parametrize("pairing", ["nearest_image", "nearest_both", "mixture"])
def test_other_pairings_train_to_other_weights(table, tmp_path, pairing):
    settings = {"batch_size": 4, "max_steps": 2, "curriculum": (), "lora": LoraSettings(rank=2), "learning_rate": 1e-2}
    reference = encode_table(load_encoder(), table)
    one, other = (
        tune(load_encoder(), table, reference, TrainConfig(model="", data="", output=tmp_path, pairing=name, **settings))
        for name in (pairing, "nearest")
    )
    assert not equal_weights(one, other)
    assert one.settings["pairing"] == pairing
    wanted = pair_rows(reference, pairing)
    assert one.pairing.targets.tolist() == wanted.targets.tolist()


@pytest.mark.parametrize("order", ["easy", "hard"])
def test_a_curriculum_begins_with_the_easiest_or_the_hardest(table, tmp_path, monkeypatch, order):
    seen: list[np.ndarray] = []
    build = tuning.build_trainer
    monkeypatch.setattr(tuning, "build_trainer", lambda *given: seen.append(given[3].rows[:4]) or build(*given))
    settings = {"batch_size": 4, "max_steps": 1, "epochs": 2, "curriculum": (1 / 3,), "lora": LoraSettings(rank=2)}
    config = TrainConfig(model="", data="", output=tmp_path, curriculum_order=order, **settings)
    tuned = tune(load_encoder(), table, encode_table(load_encoder(), table), config)
    ranked = np.argsort(tuned.pairing.cosines, kind="stable")
    assert sorted(seen[0].tolist()) == sorted((ranked[:4] if order == "hard" else ranked[-4:]).tolist())
    assert tuned.settings["curriculum_order"] == order


def test_pairing_by_pictures_is_refused_without_any(table, tmp_path):
    full = encode_table(load_encoder(), table)
    nothing = np.empty((0, full.safe_text.shape[1]), np.float32)
    captions = replace(full, safe_image=nothing, unsafe_image=nothing)
    with pytest.raises(ConfigError, match="'nearest_image' compares pictures"):
        tune(load_encoder(), table, captions, TrainConfig(model="", data="", output=tmp_path, pairing="nearest_image"))


def test_too_few_rows_for_a_batch(configure):
    with pytest.raises(ConfigError, match="fewer than a batch of 16"):
        train(configure(batch_size=16))


def test_the_first_rows_can_be_used_alone(configure):
    assert load_data(configure(rows=5))["id"][:] == [f"mini_visu/validation/{i}" for i in range(5)]
    assert len(load_data(configure(rows=500))) == 12


@pytest.fixture
def without(table, tmp_path):
    """The table without the pictures of some rows, by side."""

    def save(**rows_by_side):
        columns = table
        for side in ("safe_image", "unsafe_image"):
            columns = columns.cast_column(side, Image(decode=False))
        columns = columns.to_dict()
        for side, rows in rows_by_side.items():
            for row in rows:
                columns[side][row] = None
        Dataset.from_dict(columns, features=table.features).save_to_disk(tmp_path / "holed")
        return str(tmp_path / "holed")

    return save


def test_pictures_that_some_rows_lack_are_told(configure, without):
    data = without(safe_image=[2], unsafe_image=[4])
    told = "1 of 12 rows have no safe_image and 1 of 12 rows have no unsafe_image"
    for job in (train, plan_training):
        with pytest.raises(ConfigError, match=told):
            job(configure(f"out-{job.__name__}", data=data))
    assert list(configure("out-train").output.iterdir()) == []  # so that the mended data can go there


def test_captions_alone_train_the_text_encoder(configure, without):
    said: list[str] = []
    tuned = train(configure(data=without(safe_image=range(12), unsafe_image=range(12))), said.append)
    assert "The data have no safe_image and no unsafe_image: terms that need them are left out" in said
    assert set(tuned.progress.losses[-1]) == {"redirect_text", "preserve_text"}
    text, vision = tuned.progress.drift[-1]
    assert text > 0 == vision


@pytest.mark.parametrize(
    ("method", "terms"),
    [
        (
            "safer_clip",
            {"redirect_text", "preserve_text", "preserve_image", "preserve_image_to_text", "preserve_text_to_image"},
        ),
        ("clip_plus", {"contrast"}),
    ],
)
def test_unsafe_pictures_may_be_absent(configure, without, method, terms):
    tuned = train(configure(data=without(unsafe_image=range(12)), method=method))
    assert set(tuned.progress.losses[-1]) == terms
    assert min(tuned.progress.drift[-1]) > 0


def test_a_method_that_needs_pictures_says_so(configure, without):
    data = without(safe_image=range(12), unsafe_image=range(12))
    with pytest.raises(TrainingError, match="no term for data with safe_text alone"):
        train(configure(data=data, method="clip_plus"))


def test_a_model_folder_can_be_named(tuned, configure):
    _, output, _ = tuned
    again = train(configure(model=str(output), max_steps=1))
    assert len(again.progress.losses) == 1


DISTRIBUTED = """
import sys
from safer_clip.config import TrainConfig
from safer_clip.tuning import train

train(TrainConfig.model_validate_json(sys.argv[1]), lambda sentence: print(sentence, flush=True))
"""


@pytest.mark.parametrize(
    "sides", [pytest.param(SIDES, id="all", marks=pytest.mark.slow), pytest.param(SIDES[:2], id="captions")]
)
def test_two_processes_train_as_one_that_accumulates(configure, without, data, sides):
    if sides != SIDES:
        data = without(safe_image=range(12), unsafe_image=range(12))
    settings = {"data": data, "lora": LoraSettings(rank=4), "batch_size": 2, "save_every": 0}
    alone = train(configure("alone", accumulation=2, **settings))
    shared = configure("shared", **settings)
    job = shared.output.parent / "job.py"
    job.write_text(DISTRIBUTED)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, str(job), shared.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Trained for") == 1  # only the first process speaks, and writes
    record = json.loads((shared.output / TRAINING_FILE).read_text())
    assert len(record["loss"]) == len(alone.progress.losses) == 3
    for ours, theirs in zip(record["loss"], alone.progress.losses, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    found = DualEncoder.load(shared.output).model.state_dict()
    for name, weight in alone.encoder.model.state_dict().items():
        assert torch.allclose(found[name], weight, atol=1e-6), name


def test_categories_are_those_of_the_taxonomy_that_is_named(tmp_path):
    rows = [
        {"safe_caption": f"a dog {tag}", "unsafe_caption": f"a cat {tag}", "category": tag} for tag in ("horror", "weapons")
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    config = {"data": str(tmp_path / "rows.jsonl")}
    assert load_data(DataConfig(**config))["category"][:] == ["unknown", "violence"]
    assert load_data(DataConfig(**config, taxonomy="miniature"))["category"][:] == ["horror", "weapons"]


def test_a_strength_is_kept_of_what_was_learned(tmp_path):
    """Half the strength is half the way, and the adapter that is kept is the one of the model that is written."""
    data = {"model": "miniature", "data": "miniature", "rows": 16}
    settings = {**data, "batch_size": 4, "max_steps": 3, "learning_rate": 1e-2}
    found = {}
    for strength in (1.0, 0.5):
        folder = tmp_path / str(strength)
        train(TrainConfig(**settings, output=folder, strength=strength))
        with load_adapter(load_encoder(), folder).at(1.0) as tuned:  # refuses what does not belong together
            found[strength] = {name: weight.clone() for name, weight in tuned.model.named_parameters()}
    base = dict(load_encoder().model.named_parameters())
    for name, weight in base.items():
        half, whole = (found[strength][name] - weight for strength in (0.5, 1.0))
        assert torch.allclose(half, whole / 2, atol=1e-6)
    drifts = [read_training(tmp_path / str(strength)).drift[-1] for strength in (1.0, 0.5)]
    assert drifts[1] == pytest.approx([value / 2 for value in drifts[0]], rel=1e-4)
