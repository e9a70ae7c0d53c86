"""Without averaging nothing is kept."""

from delt_exp.config.build import build


def test_none_is_built_as_nothing():
    assert build({"_target_": "delt_exp.averaging.none.last_weights_alone"}, "averaging") is None
