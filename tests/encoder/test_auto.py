"""The encoder that is at hand."""

import pytest

from delt_exp.encoder.auto import AutoEncoder
from tests.alignment.tiny import make_resources, tiny_probe
from tests.encoder.tiny import tiny_encoder


@pytest.mark.slow
def test_auto_takes_the_probe_where_the_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.encoder.minilm.find_spec", lambda name: None)
    resources, auto = make_resources(tmp_path), AutoEncoder(tiny_probe(), 32)
    assert auto.inputs(resources) == tiny_encoder().inputs(resources)
    assert auto.judge(resources) == tiny_encoder().judge(resources)
