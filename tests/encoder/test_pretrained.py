"""Pretrained encoders by folder."""

import pytest

from delt_exp.encoder.pretrained import PretrainedEncoder
from delt_exp.errors import ConfigError, DependencyError
from tests.alignment.tiny import make_resources


def test_a_folder_that_is_no_encoder_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DependencyError, match="cannot load"):
        PretrainedEncoder(str(tmp_path / "empty"), None, "mean", 32).judge(make_resources(tmp_path))


def test_a_wrong_setting_is_refused():
    with pytest.raises(ConfigError, match="pooling"):
        PretrainedEncoder("any", None, "max", 32)
