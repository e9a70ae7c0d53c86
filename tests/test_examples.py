"""The examples run as they stand, on less text."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = (
    "train_dataset.max_bytes=60_000",
    "target_dataset.max_bytes=20_000",
    "tokenizer.vocab_size=512",
    "model.network.config={hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2,"
    " num_key_value_heads: 2, max_position_embeddings: 1024}",
    "proxy.recipe.network.config=${model.network.config}",
    "proxy.train_tokens=2_048",
    "training.max_tokens=4_096",
    "eval_dataset=none",
    "+train_dataset@eval_dataset.stdlib_pairs.dataset=stdlib_pairs",
    "eval_dataset.stdlib_pairs.dataset.split=validation",
    "eval_dataset.stdlib_pairs.dataset.max_bytes=10_000",
    "+eval_dataset.stdlib_pairs._target_=delt_exp.eval_dataset.text_loss.TextLoss",
)


@pytest.mark.slow
def test_the_whole_idea_takes_less_than_a_hundred_lines_and_ends_with_a_verdict(capsys):
    path = EXAMPLES / "in_100_lines.py"
    spec = importlib.util.spec_from_file_location("in_100_lines", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.TASK.remove("eval_dataset=stdlib")
    example.main(*SMALL)
    said = capsys.readouterr().out
    assert len(path.read_text().splitlines()) < 100
    parts = ("best document", "share of each source", "along the first pass", "loss of the model trained on random")
    assert all(part in said for part in parts)
    assert "Each was trained once" in said
    assert "chosen" in said.split("Intervals are 95 %")[0]
    assert "stdlib_pairs" in said
    assert len(list(Path("outputs/runs").glob("*/record.json"))) == 2
