"""Settings of other trainers that keep the order of an export, as text to paste.

Shards are named one by one: LLaMA-Factory reads the files of a folder in whatever order the file system lists them.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from delt_exp.errors import ConfigError


def llama_factory(card: Mapping[str, Any], out: Path) -> str:
    """Return entries for `dataset_info.json` and lines for the training YAML of LLaMA-Factory.

    Its `streaming` mode shuffles whatever else is set, and `val_size` above 0 splits at random.
    """
    _check(card)
    names = [f"{out.name}_{number:05d}" for number in range(len(card["shards"]))]
    columns = {"prompt": "prompt", "response": "text"} if "prompt" in card["columns"] else {"prompt": "text"}
    if "messages" in card["columns"]:
        columns = {"messages": "messages"}
    entries: dict[str, Any] = {}
    for name, shard in zip(names, card["shards"], strict=True):
        entries[name] = {"file_name": str((out / shard["file"]).absolute()), "columns": columns}
        if "messages" in columns:
            tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
            entries[name] |= {"formatting": "sharegpt", "tags": tags}
    settings = {"dataset": ",".join(names), "disable_shuffling": True, "streaming": False, "val_size": 0.0}
    return (
        f"{_unread(card)}# LLaMA-Factory: entries of data/dataset_info.json\n{json.dumps(entries, indent=2)}\n\n"
        f"# LLaMA-Factory: lines of the training YAML\n{yaml.safe_dump(settings, sort_keys=False)}"
    )


def axolotl(card: Mapping[str, Any], out: Path) -> str:
    """Return lines for the YAML of axolotl; its packing fills sequences in the order in which documents come."""
    _check(card)
    kind: dict[str, Any] = {"type": "chat_template"} if "messages" in card["columns"] else {"type": "completion"}
    if "prompt" in card["columns"]:  # a template of its own, as `completion` would leave the prompt out
        formats = dict.fromkeys(("format", "no_input_format"), "{instruction}")
        kind = {"type": {"system_prompt": "", "field_instruction": "prompt", "field_output": "text", **formats}}
    shards = [str((out / shard["file"]).absolute()) for shard in card["shards"]]
    file_type = "json" if card["format"] == "jsonl" else card["format"]
    settings = {
        "datasets": [{"path": path, "ds_type": file_type, **kind} for path in shards],
        "shuffle_merged_datasets": False,
        "curriculum_sampling": True,
        "sample_packing": True,
        "sample_packing_sequentially": True,
        "val_set_size": 0.0,
    }
    return f"{_unread(card)}# axolotl: lines of the training YAML\n{yaml.safe_dump(settings, sort_keys=False)}"


def check_format(name: str) -> None:
    """Raise ConfigError for a format of exports that these trainers do not read."""
    if name not in ("jsonl", "parquet"):
        raise ConfigError(f"--settings is for --to jsonl and --to parquet, which these trainers read; not {name}")


def _check(card: Mapping[str, Any]) -> None:
    check_format(card["format"])
    if {"messages", "text"} <= set(card["columns"]):
        raise ConfigError(
            "--settings names one kind of document, but this export has conversations (column messages) and plain "
            "texts (column text): export each kind from a run of its own"
        )


def _unread(card: Mapping[str, Any]) -> str:
    """Return a comment on what these settings leave out; nothing for most exports."""
    if "rejected" not in card["columns"]:
        return ""
    return "# The column `rejected` is not read: these settings train on the chosen answers alone.\n"


SETTINGS: dict[str, Callable[[Mapping[str, Any], Path], str]] = {"llama_factory": llama_factory, "axolotl": axolotl}
