"""What every evaluation suite promises; a new YAML in conf/eval_dataset is met here without a change."""

import dataclasses
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir

from delt_exp.config.build import build, plain
from delt_exp.config.run_name import register_resolvers
from delt_exp.dataset.parquet import Parquet
from delt_exp.dataset.split import Split
from delt_exp.eval_dataset.multiple_choice import Benchmark, HubTasks
from delt_exp.eval_dataset.proportions import Proportions
from delt_exp.eval_dataset.text_loss import TextLoss
from delt_exp.store.store import Store
from tests.contract import SMALL
from tests.eval_dataset.models import make_model
from tests.helpers import make_resources

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DELT_DATA_DIR", ROOT.parent / "shared" / "data"))
SUITES = sorted(file.stem for file in (ROOT / "conf" / "eval_dataset").glob("*.yaml"))
OWN = {"jsonl", "parquet", "text"}  # suites over the user's files
LIMITS = {"stdlib_prose": 3000, "stdlib_code": 3000, "stdlib_pairs": 3000}  # bytes, to stay quick


def load(*suites):
    """Return the nodes of suites chosen together, unresolved settings filled in."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        chosen = [
            f"eval_dataset=[{','.join(suites)}]",
            "train_dataset=split",
            "target_dataset=split",
            f"data_dir={DATA}",
        ]
        cfg = compose("config", overrides=chosen)
    if "preferences" in suites:
        cfg.eval_dataset.preferences.dataset.path = str(DATA / "hh_rlhf_harmless" / "validation.jsonl")
    for place in [cfg.train_dataset, cfg.target_dataset, *(cfg.eval_dataset[one] for one in OWN.intersection(suites))]:
        place.dataset.path = str(DATA / "drama_tinyshakespeare" / "validation.jsonl")
    return plain(cfg.eval_dataset)


@pytest.mark.parametrize("suite", SUITES)
def test_text_suites_never_measure_what_a_model_is_trained_on(suite):
    for node in load(suite).values():
        assert node.get("dataset", {}).get("split") in ("validation", "test", None)


def test_suites_combine_because_no_two_share_a_name():
    names = {suite: set(load(suite)) for suite in SUITES}
    assert all(not names[a] & names[b] for a, b in combinations(SUITES, 2))
    assert set(load(*SUITES)) == set().union(*names.values())


def test_the_general_suite_and_its_local_form_ask_the_same_eight_tasks():
    hub, local = load("general")["general"]["tasks"], load("local_bench")["local_bench"]["tasks"]
    assert sorted(hub) == sorted(local)
    assert len(hub) == 8


def test_generated_code_runs_only_where_the_user_says_so():
    assert not any(node.get("allow_code_execution") for node in load(*SUITES).values())


def limited(dataset, name, folder):
    """Return a dataset of few documents."""
    if isinstance(dataset, Split):
        return dataclasses.replace(dataset, dataset=dataclasses.replace(dataset.dataset, max_documents=40))
    if isinstance(dataset, Parquet):
        pq.write_table(pa.table({"text": ["one text", "another"]}), folder / "own.parquet")
        return dataclasses.replace(dataset, path=str(folder / "own.parquet"))
    return dataclasses.replace(dataset, **({"max_bytes": LIMITS[name]} if name in LIMITS else {"max_documents": 3}))


@pytest.mark.parametrize("suite", SUITES)
def test_every_offline_suite_measures_a_model(suite, tmp_path):
    nodes = load(suite)
    for node in nodes.values():
        if "train_tokens" in node.get("oracle", {}):
            node["oracle"]["train_tokens"] = SMALL["train_tokens"]
    parts = {name: build(node) for name, node in nodes.items()}
    if any(isinstance(part, HubTasks) for part in parts.values()):
        pytest.skip("its data come from the Hub")
    if suite != "stdlib" and parts and not DATA.is_dir():
        pytest.skip(f"the local data folder is not at {DATA}")
    if any(isinstance(part, Benchmark) for part in parts.values()):
        pytest.importorskip("lm_eval", reason="the extra eval is not installed")
    store, trained = Store(tmp_path / "store", verify="hash"), make_model(tmp_path, 128, logit_scale=0.0)
    for name, part in parts.items():
        if isinstance(part, TextLoss):
            part = TextLoss(limited(part.dataset, name, tmp_path))
        elif isinstance(part, Proportions):
            part = dataclasses.replace(part, detector=dataclasses.replace(part.detector, num_texts=8, num_bootstraps=2))
        else:
            part = dataclasses.replace(part, limit=2)
        ids = part.prepare(make_resources(store, trained.tokenizer))
        assert ids.dtype == np.uint64
        measures = part.evaluate(name, trained, make_resources(store, trained.tokenizer)).measures
        assert {measure.dataset.split("/")[0] for measure in measures} == {name}
        assert all(np.isfinite(measure.value) and measure.count > 0 for measure in measures)
        summaries = ("bits_per_byte", "average", "reward_accuracy", "win_rate", "held_out_accuracy")
        assert sum(measure.metric in summaries for measure in measures) == 1
