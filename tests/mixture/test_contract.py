"""What every mixture promises; a new YAML in conf/mixture is met here without a change."""

import numpy as np
import pytest

from delt_exp.cli.help import options
from delt_exp.config.build import CONF, build
from delt_exp.mixture.sources import Sources
from tests.contract import configured

NAMES = [name for name in options(CONF, "mixture") if name != "none"]
SOURCES = Sources(("code", "news", "web"), np.array([100, 300, 600]), 1000)


@pytest.mark.parametrize("name", NAMES)
def test_shares_sum_to_1_belong_to_their_sources_and_repeat(name, tmp_path):
    mixture = build(configured("mixture", name, tmp_path).mixture, "mixture")
    shares = mixture(SOURCES)
    assert shares.shape == (3,)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_array_equal(shares, mixture(SOURCES))
    turned = Sources(("web", "news", "code"), SOURCES.tokens_G[::-1], SOURCES.budget_tokens)
    np.testing.assert_allclose(mixture(turned), shares[::-1])
