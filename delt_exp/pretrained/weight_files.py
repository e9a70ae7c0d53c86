"""What is wrong with the files of a pretrained model, said in one message: pointers, broken downloads, adapters."""

import json
import zipfile
from pathlib import Path

from delt_exp.errors import ConfigError, DataError, DeltError, DependencyError
from delt_exp.pretrained.packaged import is_packaged, packaged_folder

PATTERNS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")
LFS_POINTER = b"version https://git-lfs"
QUANTISERS = ("bitsandbytes", "gptq", "awq", "quantiz")
AGAIN = "fetch it again (git lfs pull in a clone, hf download for a Hub name)"


def local_folder(name: str, revision: str | None) -> Path | None:
    """Return the folder `name` is, or that of a package or of the Hub cache; None where nothing is at hand."""
    if is_packaged(name):
        return packaged_folder(name)
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError):  # not in the cache, or no name of the Hub
        return None


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder and the indices of their shards, in the order of their names."""
    return sorted({file for pattern in PATTERNS for file in folder.glob(pattern)})


def refuse_adapter(name: str, revision: str | None, *, local_only: bool) -> None:
    """Raise ConfigError for an adapter: alone it is no model, and beside one it changes it."""
    from transformers.utils import find_adapter_config_file

    found = find_adapter_config_file(name, revision=revision, local_files_only=local_only)
    if found is None:
        return
    try:
        base = json.loads(Path(found).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        base = "another model"
    raise ConfigError(
        f"{name!r} is an adapter of {base!r} (adapter_config.json), not a whole model: merge it first. With `from peft "
        f"import AutoPeftModelForCausalLM`: AutoPeftModelForCausalLM.from_pretrained({name!r}).merge_and_unload()"
        ".save_pretrained(FOLDER); copy the tokenizer's files to FOLDER too, and give FOLDER"
    )


def explain(error: Exception, name: str, revision: str | None) -> DeltError:
    """Return the error a user can act on for what a library raised while it read `name`."""
    folder = local_folder(name, revision)
    damage = "" if folder is None else find_damage(folder)
    if damage:
        return DataError(f"cannot load {name!r}: {damage}")
    kind = "folder" if Path(name).exists() else "Hub name (and no folder of that name exists here)"
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "trust_remote_code" in str(error):
        reason = "it needs its own code, which is never run here."
    if any(word in str(error).lower() for word in QUANTISERS):
        return ConfigError(f"{name!r} is quantised ({reason}): dequantise it first, or use its float16 version")
    return DependencyError(
        f"cannot load {name!r} as a {kind}: {reason} Give a folder with config.json and weights of an architecture of "
        "transformers, or make the network or a filled HF_HOME cache available."
    )


def find_damage(folder: Path) -> str:
    """Return which file of a folder cannot be read and what helps, an empty string where all are whole."""
    for file in sorted(file for file in folder.iterdir() if file.is_file()):
        with file.open("rb") as opened:
            if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                return f"{file.name} is a git-lfs pointer, not the file itself; {AGAIN}"
    for file in weight_files(folder):
        damage = _index_damage(file) if file.suffix == ".json" else _damage(file)
        if damage:
            return f"{file.name} {damage}; {AGAIN}"
    for file in sorted(folder.glob("*.json")):
        damage = _json_damage(file)
        if damage:
            return f"{file.name} {damage}; {AGAIN}"
    unfinished = sorted(folder.rglob("*.incomplete"))
    return f"{unfinished[0].relative_to(folder)} is an unfinished download; {AGAIN}" if unfinished else ""


def _damage(file: Path) -> str:
    size = file.stat().st_size
    if size == 0:
        return "is empty"
    if file.suffix == ".safetensors":
        return _safetensors_damage(file, size)
    with file.open("rb") as opened:  # torch.save writes a zip, whose table is at its end; before 1.6 it was a pickle
        is_zip = opened.read(2) == b"PK"
    return "is incomplete: the end of the file is missing" if is_zip and not zipfile.is_zipfile(file) else ""


def _safetensors_damage(file: Path, size: int) -> str:
    """Compare the size with the header: 8 bytes that say its length, and JSON with the place of every tensor."""
    with file.open("rb") as opened:
        header_bytes = int.from_bytes(opened.read(8), "little")
        if header_bytes > max(size - 8, 0):
            return f"is not a complete safetensors file: its header has {header_bytes} bytes, the file {size}"
        try:
            header = json.loads(opened.read(header_bytes))
        except ValueError:
            return "is not a safetensors file: its header is not JSON"
    end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
    whole = 8 + header_bytes + int(end)
    return "" if size == whole else f"is incomplete: {size} bytes instead of {whole}"


def _json_damage(file: Path) -> str:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        return f"is not valid JSON ({error})"
    if file.name == "tokenizer.json" and not {"model", "added_tokens"} <= set(settings):
        return "is not a complete tokenizer"
    return ""


def _index_damage(file: Path) -> str:
    try:
        shards = sorted(set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError):
        return "is not a complete index of shards"
    missing = [shard for shard in shards if not (file.parent / shard).is_file()]
    return f"names {len(shards)} files of weights, but {missing[0]} is missing" if missing else ""
