"""Messages name the keys that the user wrote, wherever a component stands."""

import pytest

from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.config.keys import moved, naming
from delt_exp.errors import ConfigError, DataError, DeltError
from delt_exp.model.recipe import Recipe


def told(message: str, keys: dict[str, str], kind: type[DeltError] = ConfigError) -> str:
    with pytest.raises(kind) as raised, naming(keys):
        raise kind(message)
    assert type(raised.value) is kind
    return str(raised.value)


def test_keys_of_a_component_are_named_where_it_stands():
    keys = moved(Recipe, "model", "proxy.recipe")
    message = "model.batch_items=9; use optimizer@model.optimizer=sgd model.schedule.warmup_steps=null"
    assert told(message, keys, DataError) == (
        "proxy.recipe.batch_items=9; use optimizer@proxy.recipe.optimizer=sgd proxy.recipe.schedule.warmup_steps=null"
    )


def test_only_whole_keys_of_the_component_are_replaced():
    keys = moved(Recipe, "model", "proxy.recipe")
    message = "my.model.network, a/model.network, model.networks, model.safetensors and the model. Network"
    assert told(message, keys) == message
    assert told("selector.k", {}) == "selector.k"


def test_the_longest_key_counts():
    keys = {"model.network": "proxy", "model.network.targets": "scorer.warm_up.adapters.targets"}
    assert told("model.network.targets of model.network", keys) == "scorer.warm_up.adapters.targets of proxy"


@pytest.mark.parametrize(
    ("group", "override", "place"),
    [
        ("model", "model.schedule.warmup_steps=5", "model.schedule"),
        ("scorer", "scorer.warm_up.schedule.warmup_steps=5", "scorer.warm_up.schedule"),
        ("proxy", "proxy.recipe.schedule.warmup_steps=5", "proxy.recipe.schedule"),
    ],
)
def test_a_schedule_that_contradicts_itself_is_named_where_it_was_configured(group, override, place):
    config = composed(CONF, ["scorer=less", override])
    with pytest.raises(
        ConfigError, match=f"give either {place}.warmup_steps or {place}.warmup_ratio, and null for the other: got 5"
    ):
        build(config[group], group)
