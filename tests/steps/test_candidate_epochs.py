"""A budget in passes over the candidates is the same for every selection of them."""

from pathlib import Path

import pytest

from delt_exp.errors import ConfigError
from delt_exp.steps.components import training_settings
from tests.runs import command, records, write_texts

LAYOUTS = ["packed", "padded"]
RATE = {"protocol": "fixed", "tiny_ratio": 0.03, "tuned_ratios": [0.3, 1.0], "validation_share": 0.1}
NODE = RATE | {"layout": "packed", "epochs": None, "max_tokens": None, "completion_only": False}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_of_the_documents_gets_as_many_tokens_as_one_pass_over_all(tmp_path, monkeypatch, layout):
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path)
    tokens, steps = {}, {}
    for name, budget, ratio in (
        ("pass", "training.epochs=1", 1.0), ("all", "training.candidate_epochs=1", 1.0),
        ("half", "training.candidate_epochs=1", 0.5), ("twice", "training.candidate_epochs=2", 0.5),
    ):  # fmt: skip
        command(
            monkeypatch, budget, f"selector.ratio={ratio}", "scorer=random", "orderer=identity",
            f"training.layout={layout}", f"output_dir=out/{name}", *["training.epochs=null"] * (name != "pass"),
        )  # fmt: skip
        (record,) = records(Path("out") / name / "runs")
        training = record["training"]
        tokens[name], steps[name] = training["tokens"], training["steps"]
    batch = tokens["pass"] / steps["pass"]
    assert tokens["all"] == tokens["pass"]
    assert tokens["pass"] - 2 * batch < tokens["half"] <= tokens["pass"]
    assert 2 * tokens["pass"] - 2 * batch < tokens["twice"] <= 2 * tokens["pass"]


@pytest.mark.parametrize("key", ["epochs", "max_tokens"])
def test_two_budgets_are_refused_with_both_cures(key):
    with pytest.raises(ConfigError, match=rf"candidate_epochs=2 and training.{key}=7 both .* training.{key}=null, or"):
        training_settings(NODE | {"candidate_epochs": 2, key: 7})


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"training\.candidate_epochs=0 is not allowed"):
        training_settings(NODE | {"candidate_epochs": 0})
