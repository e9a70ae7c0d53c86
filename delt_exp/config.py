"""The one place where configuration becomes objects."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from delt_exp.errors import ConfigError, DeltError

ALLOWED_PREFIX = "delt_exp."


def plain(node: Any) -> Any:
    """Return a config node as resolved dicts and lists; raises on missing values."""
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    return node


def build(node: Any, **extra: Any) -> Any:
    """Return the object (or, with `_partial_`, the function) that a config node describes.

    Only targets inside this package are allowed, at any depth, so that a config file cannot run other code.
    """
    from hydra.utils import instantiate

    settings = plain(node)
    _check_targets(settings)
    try:
        return instantiate(settings, _convert_="all", **extra)
    except Exception as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, DeltError):
            raise cause from None
        raise


def _check_targets(value: Any) -> None:
    if isinstance(value, Mapping):
        target = value.get("_target_", ALLOWED_PREFIX)
        if not str(target).startswith(ALLOWED_PREFIX):
            raise ConfigError(f"_target_ {target!r} is not allowed; targets start with {ALLOWED_PREFIX!r}")
        for item in value.values():
            _check_targets(item)
    elif isinstance(value, list):
        for item in value:
            _check_targets(item)
