"""The door for everything pretrained: whatever reads a model, its configuration or its tokenizer comes through here.

Code that comes with the weights is never run, and a network that is handed out holds what its files say: see `weights`.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlparse

from delt_exp.errors import ConfigError, DeltError
from delt_exp.files import tree_digest
from delt_exp.pretrained.limits import position_limit
from delt_exp.pretrained.packaged import is_packaged, packaged_folder, packaged_sha256
from delt_exp.pretrained.weight_files import explain, local_folder, refuse_adapter, weight_files
from delt_exp.progress import say
from delt_exp.runtime import quiet


@dataclass(frozen=True)
class Findings:
    """What checking the weights of a model found. notes: what a reader of its results should know, in sentences."""

    architecture: str
    embedding_rows: int
    position_limit: int | None
    notes: tuple[str, ...]


@runtime_checkable
class ReadsWeights(Protocol):
    """A component that reads weights from a folder or the Hub."""

    def check_weights(self, *, fetch: bool) -> Sequence[str]:
        """Return notes on the weights; raises DeltError for unsound ones. fetch: download what is not at hand."""


def check_models(component: Any, *, fetch: bool) -> list[str]:
    """Check the weights that `component` and all components inside it will read; return the notes, each once."""
    if isinstance(component, ReadsWeights):
        return list(component.check_weights(fetch=fetch))
    inner: list[Any] = []
    if is_dataclass(component) and not isinstance(component, type):
        inner = [getattr(component, field.name) for field in fields(component)]
    elif isinstance(component, Mapping):
        inner = list(component.values())
    return list(dict.fromkeys(note for part in inner for note in check_models(part, fetch=fetch)))


def check_weights(name: str, revision: str | None, *, fetch: bool, causal: bool = True) -> Findings | None:
    """Load a model once to check it; return what was found, None when it is not at hand and `fetch` is false.

    Raises as `load_causal_lm` does, or `load_base_model` where `causal` is false.
    """
    folder = local_folder(name, revision)
    files = weight_files(folder) if folder is not None else []
    if not files and not fetch and not Path(name).is_dir():
        return None
    state = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _checked(name, revision, causal, state)


def check_model(name: str, revision: str | None, *, fetch: bool, causal: bool = True) -> Findings | None:
    """Check a model that is read with its own tokenizer: as `check_weights`, and that every id has an embedding."""
    found = check_weights(name, revision, fetch=fetch, causal=causal)
    if found is not None:
        from transformers import AutoTokenizer

        check_ids(load_pretrained(AutoTokenizer, name, revision), found.embedding_rows, name)
    return found


@cache  # a run asks several times; `state` changes when the files do
def _checked(name: str, revision: str | None, causal: bool, state: tuple[tuple[str, int, int], ...]) -> Findings:
    network, notes = _load(name, revision, causal=causal)
    rows = network.get_input_embeddings().weight.shape[0]
    return Findings(type(network).__name__, rows, position_limit(network.config), notes)


def load_causal_lm(name: str | Path, revision: str | None = None) -> Any:
    """Return a causal LM in float32 and evaluation mode, its weights checked.

    Raises DependencyError when it cannot be had, DataError for weights that are missing, damaged or not finite,
    ConfigError for an adapter and for a network that reads ahead.
    """
    return _load(str(name), revision, causal=True)[0]


def load_base_model(name: str | Path, revision: str | None = None) -> Any:
    """Return a network without head, causal or not, in float32 and evaluation mode; raises as `load_causal_lm` does."""
    return _load(str(name), revision, causal=False)[0]


def _load(name: str, revision: str | None, *, causal: bool) -> tuple[Any, tuple[str, ...]]:
    from transformers import AutoModel, AutoModelForCausalLM

    from delt_exp.pretrained.weights import checked_network

    quiet()  # a bar for each model, which is loaded more than once
    auto_class = AutoModelForCausalLM if causal else AutoModel

    def load(**options: Any) -> Any:
        return load_pretrained(auto_class, name, revision, **options)

    network, notes = checked_network(load, name, causal=causal)
    for note in notes:
        _say_once(note)
    return network, notes


@cache
def _say_once(note: str) -> None:
    say(note)


def load_pretrained(auto_class: Any, name: str, revision: str | None, **options: Any) -> Any:
    """Return `auto_class.from_pretrained(name)`; never runs code that comes with the weights.

    Raises DependencyError when the folder or the Hub name cannot be had, DataError for damaged files.
    """
    if is_packaged(name):
        name, revision = str(packaged_folder(name)), None
    local_only = not Path(name).is_dir() and not hub_reachable()
    try:
        if "Tokenizer" not in auto_class.__name__:
            refuse_adapter(name, revision, local_only=local_only)
        return auto_class.from_pretrained(
            name, revision=revision, trust_remote_code=False, local_files_only=local_only, **options
        )
    except DeltError:
        raise
    except Exception as error:  # safetensors, torch, tokenizers and huggingface_hub have no class of error in common
        raise explain(error, name, revision) from error


def load_config(name: str | Path, revision: str | None = None) -> Any:
    """Return the `transformers` configuration of a pretrained model; raises as `load_pretrained` does."""
    from transformers import AutoConfig

    return load_pretrained(AutoConfig, str(name), revision)


def check_ids(tokenizer: Any, embedding_rows: int, name: str) -> None:
    """Raise ConfigError when documents can hold ids that have no embedding; tokenizer: a `transformers` one.

    Special tokens count where they separate documents: as text, they are read like any other text.
    """
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    separators = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id)
    used = set(tokenizer.get_vocab().values()) - special | {index for index in separators if index is not None}
    largest = max(used)
    if largest >= embedding_rows:
        token = tokenizer.convert_ids_to_tokens(largest)
        raise ConfigError(
            f"the tokenizer has ids up to {largest} ({token!r}), so it needs {largest + 1} embedding rows, but "
            f"{name!r} has {embedding_rows}; use the tokenizer it was trained with, or add rows to the model first: "
            f"resize_token_embeddings({largest + 1}) of transformers, then save_pretrained"
        )


def hub_reachable() -> bool:
    """Return whether the Hugging Face Hub answers; asked once, because without network its retries take 70 s.

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
    """Return a hash of the files of a package or local folder, or a name of the Hub with the commit it stands for now.

    Where neither the Hub nor the cache knows the commit, the revision as it was given.
    """
    if is_packaged(name):
        return packaged_sha256(name)
    return tree_digest(Path(name)) if Path(name).is_dir() else f"{name}@{_commit(name, revision) or revision}"


@cache
def _commit(name: str, revision: str | None) -> str | None:
    from huggingface_hub import hf_hub_download

    try:  # a file of a model lies in a folder that is named by its commit
        config = hf_hub_download(name, "config.json", revision=revision, local_files_only=not hub_reachable())
    except Exception:  # whoever reads the model says what is wrong with it
        return None
    return Path(config).parent.name
