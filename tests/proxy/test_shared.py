"""The proxy of the run in a second role."""

from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.config.identity import identity


def test_the_judge_is_the_proxy_of_the_run():
    config = composed(CONF, ["judge=proxy", "proxy=target", "proxy.train_tokens=7"])
    assert identity(build(config.judge, "judge")) == identity(build(config.proxy, "proxy"))
