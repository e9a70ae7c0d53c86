"""The real command line on texts small enough for tests."""

import json
import sys
from pathlib import Path

import numpy as np

from delt_exp.cli.main import main
from tests.helpers import words

# A byte tokenizer and a network of two layers x 16: the whole flow in a few seconds.
FAST = (
    "tokenizer=byte",
    "train_dataset=jsonl",
    "train_dataset.path=train.jsonl",
    "target_dataset=jsonl",
    "target_dataset.path=target.jsonl",
    "eval_dataset=jsonl",
    "eval_dataset.jsonl.dataset.path=eval.jsonl",
    "model.network.config={hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2,"
    " num_key_value_heads: 2, max_position_embeddings: 64}",
    "proxy.recipe.network.config=${model.network.config}",
    "model.context_tokens=32",
    "model.batch_items=8",
    "proxy.recipe.context_tokens=32",
    "proxy.recipe.batch_items=8",
    "proxy.train_tokens=512",
    "scorer.num_annotated=null",
    "scorer.data_scorer=null",
    "scorer.base.num_steps=2",
    "scorer.base.num_target=4",
    "scorer.base.batch_documents=4",
    "scorer.base.context_tokens=16",
    "selector.ratio=1.0",
    "training.epochs=1",
    "baseline=none",
)


def write_texts(folder: Path) -> None:
    """Write the three small files that FAST reads."""
    for name, count, seed in (("train", 80, 0), ("target", 20, 1), ("eval", 12, 2)):
        write_jsonl(folder / f"{name}.jsonl", [{"text": f"{name} {text}"} for text in words(count, seed)])


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def command(monkeypatch, *overrides: str) -> None:
    """Run `python run.py` with FAST and these overrides in this process, in the current folder.

    An override of a group or key replaces what FAST says about it.
    """
    chosen = {override.split("=")[0] for override in overrides}
    kept = [text for text in FAST if not any(text.split("=")[0] == c or text.startswith(f"{c}.") for c in chosen)]
    monkeypatch.setattr(sys, "argv", ["run.py", *kept, *overrides])
    main()


def records(folder: Path = Path("outputs/runs")) -> list[dict]:
    """Return the records of all runs, oldest first."""
    files = sorted(folder.glob("*/record.json"), key=lambda file: file.stat().st_mtime)
    return [json.loads(file.read_text()) for file in files]


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the columns of a run's order.parquet."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "order.parquet")
    return {name: table[name].to_numpy() for name in table.column_names}
