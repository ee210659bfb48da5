import json
from pathlib import Path

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from safer_clip.checkpoints import OPTIMIZER_FILE, SCHEDULER_FILE, find_checkpoint, load_optimizer, save_optimizer
from safer_clip.config import TrainConfig
from safer_clip.miniature import load_split
from safer_clip.models.lora import LoraSettings
from safer_clip.tuning import train


def build():
    """Two weights, of which the second has its own rate, with an optimizer and a schedule."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]
    groups = [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.3, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.1, weight_decay=0.01)
    return weights, optimizer, get_cosine_schedule_with_warmup(optimizer, 2, 12)


def step(weights, optimizer, scheduler, times):
    for _ in range(times):
        optimizer.zero_grad()
        sum((weight**3).sum() for weight in weights).backward()
        optimizer.step()
        scheduler.step()


def test_going_on_from_a_checkpoint_gives_the_same_bits(tmp_path):
    weights, optimizer, scheduler = build()
    step(weights, optimizer, scheduler, 5)
    save_optimizer(tmp_path, optimizer, scheduler)
    kept = [weight.detach().clone() for weight in weights]
    step(weights, optimizer, scheduler, 4)

    others, fresh_optimizer, fresh_scheduler = build()
    with torch.no_grad():
        for other, weight in zip(others, kept, strict=True):
            other.copy_(weight)
    load_optimizer(tmp_path, fresh_optimizer, fresh_scheduler)
    step(others, fresh_optimizer, fresh_scheduler, 4)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    assert fresh_scheduler.get_last_lr() == scheduler.get_last_lr()
    assert [g["lr"] for g in fresh_optimizer.param_groups] == [g["lr"] for g in optimizer.param_groups]


def test_what_is_written_is_plain(tmp_path):
    _, optimizer, scheduler = built = build()
    step(*built, 2)
    save_optimizer(tmp_path, optimizer, scheduler)
    assert sorted(path.name for path in tmp_path.iterdir()) == [OPTIMIZER_FILE, SCHEDULER_FILE]
    assert json.loads((tmp_path / SCHEDULER_FILE).read_text())["last_epoch"] == 2


def write_checkpoint(folder: Path, leave_out: str = "", cut: bool = False) -> Path:
    folder.mkdir(parents=True)
    for name in (OPTIMIZER_FILE, SCHEDULER_FILE, "trainer_state.json"):
        if name != leave_out:
            (folder / name).write_text("{}")
    if cut:
        (folder / "trainer_state.json").write_text('{"global_step": 1')
    return folder


def test_the_latest_checkpoint_is_found_by_its_number(tmp_path):
    for number in (9, 100, 20):
        write_checkpoint(tmp_path / f"checkpoint-{number}")
    write_checkpoint(tmp_path / "checkpoint-last")
    write_checkpoint(tmp_path / "other-200")
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


@pytest.mark.parametrize("name", [OPTIMIZER_FILE, SCHEDULER_FILE, "trainer_state.json"])
def test_half_written_checkpoints_do_not_count(tmp_path, name):
    whole = write_checkpoint(tmp_path / "checkpoint-5")
    write_checkpoint(tmp_path / "checkpoint-6", leave_out=name)
    write_checkpoint(tmp_path / "checkpoint-7", cut=True)
    (tmp_path / "checkpoint-8").mkdir()
    assert find_checkpoint(tmp_path) == whole


def test_there_may_be_none(tmp_path):
    assert find_checkpoint(tmp_path) is None
    assert find_checkpoint(tmp_path / "nowhere") is None
    write_checkpoint(tmp_path / "checkpoint-1", cut=True)
    assert find_checkpoint(tmp_path) is None


def test_a_run_pickles_nothing(tmp_path):
    load_split("mini_visu", "validation").select(range(8)).save_to_disk(tmp_path / "data")
    config = TrainConfig(
        model="miniature",
        data=str(tmp_path / "data"),
        output=tmp_path / "out",
        batch_size=4,
        max_steps=2,
        save_every=1,
        curriculum=(),
        lora=LoraSettings(rank=2),
    )
    train(config)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert (tmp_path / "out" / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors") in written
    assert {path.suffix for path in written} == {".json", ".safetensors", ".npy", ".md"}
    for path in written:
        assert not path.read_bytes().startswith((b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"))
