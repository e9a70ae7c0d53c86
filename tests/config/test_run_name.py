"""A run knows the folder of the study that it belongs to, before it begins and after."""

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import open_dict

from delt_exp.config.build import CONF
from delt_exp.config.compose import composed, hydra_at
from delt_exp.config.run_name import run_id

PROPOSED = ["mixture=proposed", "output_dir=out"]


@pytest.fixture
def begun():
    """Return the configuration of a run of a study as Hydra starts it, and as the run sees it."""
    with hydra_at(CONF) as hydra:
        whole = hydra.config_loader.load_configuration("config", ["study=mixture/quick", *PROPOSED], RunMode.RUN)
    seen = whole.copy()
    with open_dict(seen):
        del seen["hydra"]
    HydraConfig.instance().set_config(whole)
    yield whole, seen
    HydraConfig.instance().cfg = None


@pytest.mark.slow
def test_the_folder_of_its_study_is_the_same_before_and_after_a_run_has_begun(begun):
    whole, seen = begun
    assert whole.mixture.study == seen.mixture.study == "out/mixture-quick"
    assert run_id(whole) == run_id(seen)


def test_a_run_outside_a_study_has_none():
    assert composed(CONF, PROPOSED).mixture.study is None
