"""Curves of a study of data efficiency: what is noise of the evaluation is not called a change."""

from types import SimpleNamespace

import numpy as np
import pytest

from delt_exp.errors import DataError
from delt_exp.study.data_efficiency import DataEfficiencyReport

REPORT = DataEfficiencyReport("source", "reward_accuracy", resamples=400, alpha=0.05)


def planned(source, share, subset, value, stderr):
    arm = {"source": source, "subsets": "nested", "subset": subset, "selector.ratio": share}
    row = {"dataset": "pairs", "metric": "reward_accuracy", "value": value, "stderr": stderr}
    return SimpleNamespace(arm=arm, seed=0, record=lambda: {"results": [row]})


def study(of_share, stderr, shares=(0.1, 0.3, 1.0)):
    """Three subsets that are all of the data at share 1, where their runs are one run."""
    runs = [
        planned("a", share, str(subset), of_share(share) + (0.001 * subset if share < 1 else 0), stderr)
        for share in shares
        for subset in range(3)
    ]
    return SimpleNamespace(finished=lambda: runs, folder="here")


def test_a_gain_below_the_noise_of_the_evaluation_is_no_change():
    findings = REPORT.findings(study(lambda share: 0.5 + 0.05 * share, stderr=0.03))
    assert "does not clearly change" in findings.answer
    (curves, _) = findings.tables
    at_all, gain = curves.rows[0][-2:]
    np.testing.assert_allclose([at_all.low, at_all.high], [0.55 - 1.96 * 0.03, 0.55 + 1.96 * 0.03], atol=0.015)
    assert gain.low < 0 < gain.high


def test_a_gain_far_beyond_it_grows_and_a_loss_falls():
    assert "reward_accuracy grows" in REPORT.findings(study(lambda share: 0.5 + 0.3 * share, stderr=0.03)).answer
    assert "reward_accuracy falls" in REPORT.findings(study(lambda share: 0.9 - 0.3 * share, stderr=0.03)).answer


def test_two_shares_make_no_curve():
    with pytest.raises(DataError, match="no source is finished with three shares yet"):
        REPORT.findings(study(lambda share: share, stderr=0.0, shares=(0.1, 1.0)))
