"""On real text every metric finds a corpus more like its own other half than like any other corpus."""

import json
from pathlib import Path

import pytest

from delt_exp.alignment.align import open_session
from delt_exp.alignment.table import coefficients
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.dataset.stdlib import StdlibCode, StdlibPairs, StdlibProse
from tests.helpers import ListDataset

LOCAL_DATA = Path(__file__).parents[3] / "shared" / "data"
DOCUMENTS = 48
PROBE = (
    "probe.dataset.max_bytes=150_000",
    "probe.tokenizer.vocab_size=1024",
    "probe.recipe.network.config.hidden_size=32",
    "probe.recipe.network.config.intermediate_size=64",
    "probe.recipe.network.config.num_hidden_layers=2",
    "probe.train_tokens=20_000",
)
METRICS = {
    "task2vec": (*PROBE, "alignment.task2vec.batch_documents=null", "alignment.task2vec.num_batches=1"),
    "ncd": ("alignment.ncd.max_documents=24",),
    # A probe that has learnt next to nothing gives all texts one direction.
    "sentence": (
        *PROBE,
        "probe.train_tokens=60_000",
        "encoder=proxy",
        "encoder.context_tokens=128",
    ),
    "unigram": ("tokenizer.vocab_size=1024",),
    "ngram": ("tokenizer.vocab_size=1024",),
}


@pytest.fixture(scope="module")
def corpora():
    """Return corpus -> documents, twice DOCUMENTS of each."""
    found = {kind.SOURCE: [d.prompt + d.text for d in kind("train", 400_000).documents()]
             for kind in (StdlibProse, StdlibCode, StdlibPairs)}  # fmt: skip
    for name in ("biomed_abstracts", "literature", "news_agnews"):
        file = LOCAL_DATA / name / "train.jsonl"
        if file.exists():
            found[name] = [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]
    return {name: [text[:1000] for text in texts[: 2 * DOCUMENTS]] for name, texts in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_the_other_half_of_a_corpus_is_nearest_to_it(metric, corpora):
    cfg = composed(CONF, [f"alignment={metric}", *METRICS[metric]])
    halves = {f"{name} {half}": ListDataset(texts[half * DOCUMENTS :][:DOCUMENTS])
              for name, texts in corpora.items() for half in (0, 1)}  # fmt: skip
    session = open_session(cfg, halves)
    sides = [{name: session.texts[f"{name} {half}"] for name in corpora} for half in (0, 1)]
    rows = coefficients(session.alignment, *sides, session.resources)
    values = {(row.train, row.evaluation): row.value for row in rows}
    for name in corpora:
        nearest = max(corpora, key=lambda train: values[train, name])
        assert nearest == name, {train: round(values[train, name], 3) for train in corpora}
