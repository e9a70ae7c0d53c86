"""What every scorer promises; a new YAML in conf/scorer is met here without a change."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
from hydra.utils import get_class

from delt_exp.config.build import build, plain
from delt_exp.config.identity import identity
from delt_exp.quantity import Meaning
from delt_exp.scorer.table import ScoreTable
from tests.helpers import make_pool, write_arpa

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "scorer").glob("*.yaml"))

TEXTS = [
    "a b",
    "The first line.\nThe second line.\n\nA paragraph after a blank line.\n",
    "def f(x):\n\treturn x ** 2\n",
    "«Crème brûlée» — für 12 Leute …",
    "日本語のテキスト。１２３",
    "!!! ??? ...",
    "\u0001\u0002 \u0003",  # nothing is left of it after cc_net's normalisation
    "<s> a </s>",
    "word " * 200,
    "x",
    "Once upon a time there was a scorer.",
    "0 1 2 3 4 5 6 7 8 9",
]
SOME = np.array([2, 3, 8, 11])
TARGET_TEXTS = ["The target resembles the first document.", "a b a b a b"] * 4


def kenlm_settings(folder: Path) -> list[str]:
    pytest.importorskip("kenlm", reason="the extra kenlm is not installed")
    return [f"scorer.model_path={write_arpa(folder)}"]


SMALL_PROXY = [
    "proxy.train_tokens=4096", "proxy.recipe.network.config.hidden_size=16",
    "proxy.recipe.network.config.intermediate_size=32",
]  # fmt: skip
EXACT = ["scorer.num_annotated=null", "scorer.data_scorer=null"]
ANNOTATE_ALL = [
    *EXACT, "scorer.base.num_target=null", "scorer.base.num_steps=2", "scorer.base.interval=1",
    "scorer.base.batch_documents=4",
]  # fmt: skip

# What a YAML needs to run here: files made for it, or smaller numbers.
SETTINGS: dict[str, Callable[[Path], list[str]]] = {
    "kenlm": kenlm_settings,
    **dict.fromkeys(("perplexity", "gradnorm"), lambda folder: SMALL_PROXY),
    "distilled": lambda folder: [*SMALL_PROXY, *EXACT],
    **dict.fromkeys(("lqs", "pds", "learnability", "quality"), lambda folder: [*SMALL_PROXY, *ANNOTATE_ALL]),
}


def compose(name: str, overrides: list[str]) -> Any:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(overrides=["+seed=0", "+proxy=target", f"+scorer={name}", *overrides]).scorer


@dataclass
class Case:
    """One scorer, asked four times: twice for the same documents in fresh folders, for the reversed ones, for SOME."""

    scorer: Any
    ids: np.ndarray
    scores: np.ndarray
    again: np.ndarray
    reversed_rows: np.ndarray
    some: np.ndarray


@pytest.fixture(scope="module", params=NAMES)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    overrides = SETTINGS.get(request.param, lambda folder: [])(folder)
    scorer = build(compose(request.param, overrides))

    def pool_of(texts):
        return make_pool(folder, texts, TARGET_TEXTS if "target" in scorer.needs else None)

    first = pool_of(TEXTS)
    pools = first, pool_of(TEXTS), pool_of(TEXTS[::-1]), replace(pool_of(TEXTS), chosen=SOME)
    return Case(scorer, first.candidates.corpus.ids, *(scorer.score(pool) for pool in pools))


def test_there_are_scorers_to_check():
    assert {"random", "length", "kenlm"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_yaml_key_is_a_field_and_no_field_has_a_default(name):
    node = compose(name, ["scorer.model_path=x"] if name == "kenlm" else [])
    parameters = inspect.signature(get_class(node._target_)).parameters
    assert set(plain(node)) - {"_target_"} == set(parameters)
    assert [p.name for p in parameters.values() if p.default is not inspect.Parameter.empty] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_first_line_of_the_yaml_describes_it(name):
    first = (CONF / "scorer" / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20


def test_one_finite_float32_per_document_makes_a_table(case):
    assert case.scores.dtype == np.float32
    assert case.scores.shape == (len(TEXTS),)
    assert len(ScoreTable(case.ids, case.scores, case.scorer.meaning).goodness) == len(TEXTS)


def test_scores_tell_documents_apart(case):
    assert len(np.unique(case.scores)) > 1


def test_the_same_documents_get_the_same_bits_again(case):
    assert case.scores.tobytes() == case.again.tobytes()


def test_the_score_follows_the_document_not_the_row(case):
    np.testing.assert_allclose(case.reversed_rows[::-1], case.scores, rtol=1e-5)


def test_some_documents_get_the_numbers_that_they_have_among_all(case):
    np.testing.assert_allclose(case.some, case.scores[SOME], rtol=1e-5)


def test_the_meaning_is_complete(case):
    meaning = case.scorer.meaning
    assert isinstance(meaning, Meaning)
    assert meaning.better in ("higher", "lower")
    assert meaning.name
    assert meaning.unit
    assert len(meaning.explanation) > 20


def test_the_identity_holds_the_version_and_every_setting(case):
    values = identity(case.scorer)
    assert values["VERSION"] >= 1
    assert set(inspect.signature(type(case.scorer)).parameters) <= set(values)
    assert case.scorer.needs <= {"target", "tokens"}
