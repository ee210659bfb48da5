import pytest
import torch

from safer_clip.batches import ReferenceRows
from safer_clip.config import TrainConfig
from safer_clip.curriculum import order_training
from safer_clip.miniature import load_encoder, load_split
from safer_clip.models.lora import LoraSettings, measure_drift
from safer_clip.reference import encode_table
from safer_clip.trainer import TrainingError, TrainingProgress
from safer_clip.tuning import build_trainer, pair_rows

ALL_ZERO = {"cross_modal": 0.0, "uni_modal": 0.0, "preservation": 0.0, "cross_preservation": 0.0}


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "validation").select(range(12))


@pytest.fixture(scope="module")
def embeddings(table):
    return encode_table(load_encoder(), table)


@pytest.fixture
def build(table, embeddings, tmp_path):
    """Build a trainer of 3 batches of 4 rows an epoch; returns it with its order."""

    def make(store=embeddings, **settings):
        defaults = {"batch_size": 4, "epochs": 2, "curriculum": (), "pairing": "own", "lora": LoraSettings(rank=2)}
        config = TrainConfig(model="miniature", data="", output=tmp_path, **(defaults | settings)).resolve()
        pairing = pair_rows(embeddings, config.pairing)
        order = order_training(pairing.cosines, config.epochs, 4, config.seed, config.curriculum)
        return build_trainer(load_encoder(), table, ReferenceRows(store, pairing), order, config), order

    return make


def listen(trainer, change=None):
    """Record the terms of every batch; ``change`` may alter them first, given how many there were before."""
    heard = []
    objective = trainer.objective

    def wrapped(trained, reference):
        terms = objective(trained, reference)
        if change:
            terms = change(terms, len(heard))
        heard.append({name: float(term.detach()) for name, term in terms.items()})
        return terms

    trainer.objective = wrapped
    return heard


def layer_targets(tower):
    return LoraSettings(rank=2, targets=tuple(f"{tower}_model.encoder.layers.{i}.mlp.fc1" for i in range(3)))


def test_a_good_set_up_passes_the_check_unchanged(build):
    trainer, _ = build()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.check_gradients()
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    assert all(p.grad is None or not p.grad.any() for p in trainer.model.parameters())
    assert trainer.progress == TrainingProgress()


def test_an_objective_without_weights_is_refused(build):
    trainer, _ = build(objective=ALL_ZERO)
    with pytest.raises(TrainingError, match="no adapter of the text and vision encoder gets a gradient"):
        trainer.check_gradients()


@pytest.mark.parametrize(("tower", "other"), [("text", "vision"), ("vision", "text")])
def test_adapters_on_one_encoder_only_are_refused(build, tower, other):
    trainer, _ = build(lora=layer_targets(tower))
    with pytest.raises(TrainingError, match=f"no adapter of the {other} encoder gets a gradient"):
        trainer.check_gradients()


def test_a_loss_that_is_not_a_number_stops_the_run_with_its_rows(build, embeddings):
    bad = 5
    spoilt = embeddings.replace_sides(lambda rows: rows.copy())
    spoilt.safe_text[bad] = float("nan")
    trainer, order = build(spoilt)
    batches = order.rows[:12].reshape(3, 4).tolist()
    number = next(i for i, rows in enumerate(batches) if bad in rows)
    with pytest.raises(TrainingError) as caught:
        trainer.train()
    assert f"the loss is nan at step {number + 1} (" in str(caught.value)
    assert f"rows of the batch: {batches[number]}." in str(caught.value)
    assert "redirect_text nan" in str(caught.value)


def test_an_exploding_loss_stops_the_run(build):
    trainer, _ = build(epochs=5)
    heard = listen(trainer, lambda terms, i: {name: term * (1000.0 if i >= 11 else 1.0) for name, term in terms.items()})
    with pytest.raises(TrainingError, match="at step 12 "):
        trainer.train()
    assert len(heard) == 12


@pytest.mark.parametrize("accumulation", [1, 2])
def test_history_has_the_means_of_each_epoch(build, accumulation):
    trainer, order = build(epochs=4, curriculum=(0.7,), accumulation=accumulation)
    heard = listen(trainer)
    trainer.train()
    assert order.epoch_ends == (2, 5, 8, 11)
    assert len(trainer.progress.losses) == len(trainer.progress.drift) == 4
    assert len(heard) == 11
    if accumulation == 1:
        for (start, end), losses in zip([(0, 2), (2, 5), (5, 8), (8, 11)], trainer.progress.losses, strict=True):
            for name, value in losses.items():
                assert value == pytest.approx(sum(terms[name] for terms in heard[start:end]) / (end - start), rel=1e-5)
    drift = measure_drift(trainer.model)
    assert trainer.progress.drift[-1] == (drift["text"], drift["vision"])
    assert trainer.progress.drift[0][0] < trainer.progress.drift[1][0]


def test_stopping_within_an_epoch_closes_it(build):
    trainer, _ = build(max_steps=4)
    heard = listen(trainer)
    trainer.train()
    assert (len(heard), len(trainer.progress.losses)) == (4, 2)
    assert trainer.progress.losses[1] == pytest.approx(heard[3], rel=1e-5)


def test_only_adapters_are_trained(build):
    trainer, _ = build(max_steps=2)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_rows_come_in_the_given_order(build):
    trainer, order = build()
    seen = [batch["rows"].tolist() for batch in trainer.get_train_dataloader()]
    assert seen == order.rows.reshape(-1, 4).tolist()


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_averages_its_batches(build, accumulation):
    trainer, _ = build(accumulation=accumulation, max_grad_norm=1e9)
    trainer.create_optimizer_and_scheduler(2)
    batches = list(trainer.get_train_dataloader())[:2]
    trainer.current_gradient_accumulation_steps = accumulation
    for batch in batches:
        trainer.training_step(trainer.model, batch)
    found = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    trainer.model.zero_grad()
    for batch in batches:
        terms = trainer.compute_terms(trainer.model, trainer._prepare_inputs(batch))
        (torch.stack(list(terms.values())).sum() / accumulation).backward()
    wanted = {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}
    assert found.keys() == wanted.keys()
    assert all(torch.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)


def test_progress_sums_and_closes():
    progress = TrainingProgress()
    progress.add({"a": 1.0, "b": 2.0})
    progress.add({"a": 3.0, "b": 0.0})
    progress.end_epoch((0.5, 0.25))
    assert progress.losses == [{"a": 2.0, "b": 1.0}]
    assert progress.drift == [(0.5, 0.25)]
    assert (progress.sums, progress.batches, progress.first_losses) == ({}, 0, [3.0, 3.0])


def test_an_explosion_is_told_by_the_first_losses():
    progress = TrainingProgress()
    for _ in range(9):
        progress.add({"a": 1.0})
    assert not progress.exploded(1e9)
    progress.add({"a": 1.0})
    progress.add({"a": 500.0})
    assert progress.exploded(40.1)
    assert not progress.exploded(39.9)
