"""A small warm-up run and pools for it, in milliseconds."""

from dataclasses import replace
from typing import Any

from delt_exp.model.lora import Adapters
from delt_exp.model.optimizer import AdamW
from delt_exp.model.schedule import WarmupLinear
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.scorer.influence.less import LessScorer
from delt_exp.scorer.influence.warm_up import WarmUp
from delt_exp.store.evidence import Evidence
from tests.helpers import new_folder, tiny_recipe

PROXY = TrainedProxy(tiny_recipe(), "sample", 2_000, 0)
ADAPTERS = Adapters(rank=2, alpha=4.0, dropout=0.0, targets=["q_proj", "k_proj", "v_proj", "o_proj"])
WARM_UP = WarmUp(
    share=0.5,
    epochs=2,
    adapters=ADAPTERS,
    optimizer=AdamW(lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0),
    schedule=WarmupLinear(warmup_steps=None, warmup_ratio=0.1, min_ratio=0.0),
    layout="packed",
    context_tokens=16,
    batch_items=4,
    clip_norm=1.0,
    seed=0,
)
SETTINGS: dict[str, Any] = {
    "proxy": PROXY, "warm_up": WARM_UP, "gamma": "adam", "momentum": True, "groups": "source", "num_target": None,
    "context_tokens": 16, "precision": "fp32", "on_empty": "error", "save_features": False, "num_features": 4096,
    "seed": 0,
}  # fmt: skip


def less(**changes: Any) -> LessScorer:
    return LessScorer(**{**SETTINGS, **changes})


def again(pool: Pool, tmp_path: Any, batch_tokens: int | None = None, **trainer: Any) -> Pool:
    """The same documents and store, in fresh folders, on other processes or in other batches."""
    resources = replace(
        pool.resources,
        trainer=replace(pool.resources.trainer, **trainer),
        runtime=Runtime("cpu", batch_tokens or pool.resources.runtime.batch_tokens),
    )
    fresh = {"work_dir": new_folder(tmp_path), "evidence": Evidence(new_folder(tmp_path))}
    return replace(pool, resources=resources, **fresh)
