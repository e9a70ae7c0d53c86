"""Tiny training runs by transformers, Lightning and a bare loop, over the same samples."""

import os
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from delt_exp.certificate import OrderAudit, OrderedSampler
from delt_exp.certificate.digests import digest_of
from delt_exp.verify.compare import compare
from delt_exp.verify.planned import Planned
from delt_exp.verify.recorded import read_audit


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(100, 4)

    def forward(self, input_ids, attention_mask=None, labels=None):
        return {"loss": self.table(input_ids).square().mean(), "logits": input_ids}


def samples(count):
    """Documents of different lengths, no two alike."""
    return [{"input_ids": [number % 90 + 1, number // 90 + 1, *range(number % 4)]} for number in range(count)]


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    pad = [longest - len(row["input_ids"]) for row in rows]
    return {
        "input_ids": torch.tensor([row["input_ids"] + [0] * n for row, n in zip(rows, pad, strict=True)]),
        "attention_mask": torch.tensor([[1] * (longest - n) + [0] * n for n in pad]),
    }


def finding(count, epochs=1):
    """What the verifier says of the audit against samples 0..count-1, one after the other."""
    ids = [np.array(row["input_ids"]) for row in samples(count)]
    digests = np.array([digest_of(row) for row in ids], np.uint64)
    plan = Planned("document", np.array([len(row) for row in ids]), digests, None, lambda: np.concatenate(ids))
    return compare(read_audit(Path("audit")), plan, epochs)


def by_transformers(count, *, resume=None, max_steps=-1, **settings):
    """Train samples 0..count-1 in batches of 4 and audit them."""
    settings = {"train_sampling_strategy": "sequential", "save_strategy": "no", "num_train_epochs": 1} | settings
    arguments = TrainingArguments(
        "out", per_device_train_batch_size=4, report_to=[], disable_tqdm=True, use_cpu=True, logging_strategy="no",
        remove_unused_columns=False, max_steps=max_steps, dataloader_pin_memory=False, **settings,
    )  # fmt: skip
    trainer = Trainer(
        Network(), arguments, data_collator=collate, train_dataset=samples(count),
        callbacks=[OrderAudit("audit").for_transformers()],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = Network()

    def training_step(self, batch, _):
        return self.network(**batch)["loss"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def by_lightning(loader, *callbacks, resume=None, **settings):
    settings = {"devices": 1, "max_epochs": 1, "enable_checkpointing": bool(callbacks)} | settings
    module = Module()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[OrderAudit("audit").for_lightning(module.network), *callbacks], **settings,
    )  # fmt: skip
    with patch.dict(os.environ):  # "ddp" leaves there what it set, and its process group open
        trainer.fit(module, loader, ckpt_path=resume)
    if dist.is_initialized():
        dist.destroy_process_group()


def loader(count, **settings):
    return DataLoader(samples(count), **({"batch_size": 4, "collate_fn": collate} | settings))


def play(steps, *, begins=0, rank=0, world=1):
    """A bare loop of one of `world` ranks over batches of sample numbers, one batch a step."""
    network, rows, audit = Network(), samples(1000), OrderAudit("audit")
    with patch.multiple(dist, is_initialized=lambda: True, get_rank=lambda: rank, get_world_size=lambda: world):
        audit.watch(network, begins)
    for batch in steps:
        network(**collate([rows[number] for number in batch]))["loss"].backward()
        audit.step()
    audit.close()


def read_by_loop(firsts, steps_at):
    """Read batches of 4 samples that begin at `firsts`; a step follows those in `steps_at`. The audit is left open."""
    network, rows, audit = Network(), samples(1000), OrderAudit("audit")
    audit.watch(network)
    for first in firsts:
        network(**collate(rows[first : first + 4]))
        if first in steps_at:
            audit.step()
    return audit


def one_of_two(rank, port):
    """One of two processes of a Lightning run with the sampler of the project."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": str(rank), "NODE_RANK": "0",
                   "RANK": str(rank), "WORLD_SIZE": "2"}  # fmt: skip
    sampler = OrderedSampler(24, batch_size=4, rank=rank, world_size=2)
    by_lightning(loader(24, sampler=sampler), devices=2, strategy="ddp", use_distributed_sampler=False)
