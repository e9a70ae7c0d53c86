"""The run's own proxy, where a model of its own could be chosen."""

from delt_exp.proxy.base import Proxy


def shared_proxy(proxy: Proxy) -> Proxy:
    """Return the proxy of the run: one model, trained or loaded once, in two roles."""
    return proxy
