"""jitter shuffles inside short runs of any other order."""

from functools import partial

import hydra
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.cli.help import options
from delt_exp.config.build import CONF
from delt_exp.errors import ConfigError
from delt_exp.orderer.folding import folding
from delt_exp.orderer.identity import identity
from delt_exp.orderer.jitter import jitter
from delt_exp.rows.candidates import Candidates

BASES = options(CONF, "orderer")


def contract_overrides(folder):
    return ["orderer.window=10"]  # its default shuffles nothing that a test could see


def make_ranked(length):
    """Documents whose row is their rank."""
    return Candidates.ungrouped(np.arange(length, dtype=np.uint64), np.arange(length, dtype=np.float32))


def compose(*overrides):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(overrides=["+orderer=jitter", "+seed=0", *overrides]).orderer


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 1000))
def test_nothing_leaves_its_run(length, window, seed):
    order = jitter(make_ranked(length), base=identity, window=window, seed=seed)
    for start in range(0, length, max(window, 1)):
        run = range(start, min(start + max(window, 1), length))
        assert sorted(order[start : run.stop]) == list(run)


@pytest.mark.parametrize("window", [0, 1])
def test_a_window_of_0_or_1_changes_nothing(window):
    base = partial(folding, num_layers=3, ascending=True)
    expected = [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]
    np.testing.assert_array_equal(jitter(make_ranked(10), base=base, window=window, seed=0), expected)


def test_runs_are_taken_from_the_order_of_the_base():
    base = partial(folding, num_layers=2, ascending=True)  # 0 2 4 6 | 8 1 3 5 | 7 9
    order = jitter(make_ranked(10), base=base, window=4, seed=0)
    assert [set(order[:4]), set(order[4:8]), set(order[8:])] == [{0, 2, 4, 6}, {8, 1, 3, 5}, {7, 9}]


def test_runs_are_shuffled_each_in_its_own_way_and_the_short_last_run_too():
    order = jitter(make_ranked(1006), base=identity, window=10, seed=0)
    runs = order[:1000].reshape(100, 10) - 10 * np.arange(100)[:, None]
    assert len(np.unique(runs, axis=0)) > 90
    # Each place holds each document of its run about equally often: mean 4.5, 4 standard errors of 2.87 / 10.
    np.testing.assert_allclose(runs.mean(axis=0), 4.5, atol=1.15)
    tails = {tuple(jitter(make_ranked(1006), base=identity, window=10, seed=seed)[1000:]) for seed in range(10)}
    assert len(tails) > 5


@pytest.mark.parametrize("name", BASES)
def test_any_orderer_can_be_the_base(name):
    order = hydra.utils.instantiate(compose("orderer.window=7", f"orderer@orderer.base={name}"))(make_ranked(50))
    assert sorted(order) == list(range(50))


def test_the_command_in_the_yaml_works_as_written():
    command = (CONF / "orderer" / "jitter.yaml").read_text().splitlines()[1]
    overrides = command.removeprefix("# python run.py orderer=jitter ").split()
    cfg = compose(*overrides)
    assert (cfg.window, cfg.base.num_layers) == (64, 5)
    assert hydra.utils.instantiate(cfg).keywords["base"].func is folding


@pytest.mark.parametrize("window", [-1, 2.5])
def test_a_negative_or_broken_window_is_refused(window):
    with pytest.raises(ConfigError, match=r"jitter\.window=.*at least 0"):
        jitter(make_ranked(5), base=identity, window=window, seed=0)
