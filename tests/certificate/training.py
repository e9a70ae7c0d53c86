"""Tiny training runs by transformers, Lightning and a bare loop, over the same samples."""

import os

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from delt_exp.certificate.audit import OrderAudit
from delt_exp.certificate.digests import digest_of
from delt_exp.certificate.huggingface import TrainerOrderAudit
from delt_exp.certificate.lightning import LightningOrderAudit
from delt_exp.verify.played import read_audit
from delt_exp.verify.verdict import judge


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


def expected(count):
    import numpy as np

    return np.array([digest_of(np.array(row["input_ids"])) for row in samples(count)], np.uint64)


def verdict(count, folder="audit", batch_samples=None):
    from pathlib import Path

    return judge(read_audit(Path(folder)), expected(count), batch_samples)


def by_transformers(count, *, resume=None, max_steps=-1, **settings):
    """Train samples 0..count-1 in batches of 4 and audit them."""
    settings = {"train_sampling_strategy": "sequential", "save_strategy": "no", "num_train_epochs": 1} | settings
    arguments = TrainingArguments(
        "out", per_device_train_batch_size=4, report_to=[], disable_tqdm=True, use_cpu=True, logging_strategy="no",
        remove_unused_columns=False, max_steps=max_steps, dataloader_pin_memory=False, **settings,
    )  # fmt: skip
    trainer = Trainer(
        Network(), arguments, data_collator=collate, train_dataset=samples(count),
        callbacks=[TrainerOrderAudit("audit")],
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


def by_lightning(loader, *, resume=None, **settings):
    settings = {"max_epochs": 1, "enable_checkpointing": False} | settings
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[LightningOrderAudit("audit", "network")], **settings,
    )  # fmt: skip
    trainer.fit(Module(), loader, ckpt_path=resume)
    return trainer


def loader(count, **settings):
    return DataLoader(samples(count), **({"batch_size": 4, "collate_fn": collate} | settings))


def play(steps, *, begins=0, rank=0, world=1, folder="audit"):
    """A bare loop over batches of sample numbers, given step by step, one or several batches each."""
    network, rows = Network(), samples(1000)
    audit = OrderAudit(folder, network, step=begins, rank=rank, world=world)
    for batch in steps:
        network(**collate([rows[number] for number in batch]))["loss"].backward()
        audit.step()
    audit.close()


def one_of_two(rank, port, how):
    """A Lightning run of two processes; `how` is a sampler of the project, or Lightning's own."""
    from delt_exp.certificate.sampler import OrderedSampler

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": str(rank), "NODE_RANK": "0",
                   "RANK": str(rank), "WORLD_SIZE": "2"}  # fmt: skip
    sampler = OrderedSampler(24) if how == "ordered" else None
    # Lightning's sampler shuffles wherever the loader does; each process then has every second one of a permutation.
    by_two = loader(24, sampler=sampler) if sampler else loader(24, shuffle=how == "shuffled")
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", use_distributed_sampler=how != "ordered", max_epochs=1,
        logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        callbacks=[LightningOrderAudit("audit", "network")],
    )  # fmt: skip
    trainer.fit(Module(), by_two)
