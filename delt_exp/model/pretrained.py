"""Loading pretrained models and tokenizers, with one clear message when they are not there."""

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from delt_exp.errors import DependencyError
from delt_exp.files import tree_digest


def load_pretrained(auto_class: Any, name: str, revision: str | None, **options: Any) -> Any:
    """Return `auto_class.from_pretrained(name)`; never runs code that comes with the weights.

    Raises DependencyError when the folder or the Hub name cannot be had.
    """
    local_only = not Path(name).is_dir() and not hub_reachable()
    try:
        return auto_class.from_pretrained(
            name, revision=revision, trust_remote_code=False, local_files_only=local_only, **options
        )
    except (OSError, ValueError) as error:
        kind = "folder" if Path(name).exists() else "Hub name (and no folder of that name exists here)"
        raise DependencyError(
            f"cannot load {name!r} as a {kind}: {str(error).splitlines()[0]} "
            "Give a folder with config.json, or make the network or a filled HF_HOME cache available."
        ) from error


POSITION_SETTINGS = ("max_position_embeddings", "n_positions", "max_seq_len")


def position_limit(config: Any) -> int | None:
    """Return how many positions a network of this `transformers` config can take, or None when it has no limit."""
    limits = (getattr(config, name, None) for name in POSITION_SETTINGS)
    return next((limit for limit in limits if isinstance(limit, int)), None)


def hub_reachable() -> bool:
    """Return whether the Hugging Face Hub answers; asked once before a long series of retries would.

    Behind a proxy the question cannot be asked directly, and the answer is yes.
    """
    proxies = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return False
    if any(os.environ.get(proxy) for proxy in proxies):
        return True
    url = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    try:
        with socket.create_connection((url.hostname, url.port or 443), timeout=5):
            return True
    except OSError:
        return False


def pretrained_fingerprint(name: str, revision: str | None) -> str:
    """Return a hash of the files of a local folder, or the name and revision as they were given."""
    return tree_digest(Path(name)) if Path(name).is_dir() else f"{name}@{revision}"
