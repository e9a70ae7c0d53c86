"""The card of an export: what the score means, how documents were chosen and ordered, and where all of it came from."""

from collections.abc import Mapping
from typing import Any

from delt_exp.export.source import Ordered

COLUMNS = {
    "id": "hash of the content, 16 hex digits",
    "position": "place in training order, from 0",
    "score": "see above",
    "source": "corpus that the document came from",
    "prompt": "read before `text` but not learnt; empty if there is none",
    "text": "what is learnt",
    "messages": "turns of a conversation, each `role` and `content`",
    "rejected": "the answer that was liked less; the other one is `text` or the last turn",
    "input_ids": "token ids with begin and end-of-text token, by the tokenizer in `tokenizer/`",
    "fields": "the record of the original file, as JSON",
    "labels": "`input_ids`, and -100 where nothing is to be predicted",
}


def card(source: Ordered) -> dict[str, Any]:
    """Return the facts of an export as one JSON-like value."""
    record = source.record
    score, config = record["score"], record["config"]
    return {
        "run": record["name"],
        "run_id": record["id"],
        "command": record["command"],
        "documents": len(source),
        "tokens": int(source.tokens.lengths[source.rows].sum()),
        "begin_id": source.tokens.begin_id,
        "eos_id": source.tokens.eos_id,
        "dtype": source.tokens.meta["dtype"],
        "tokenizer_digest": source.tokens.meta["tokenizer"],
        "score": {key: score[key] for key in ("name", "unit", "better", "explanation", "digest")},
        "selection": {
            "selector": record["choices"]["selector"],
            **_settings(config["selector"]),
            **record["selection"],
        },
        "order": {"orderer": record["choices"]["orderer"], **_settings(config["orderer"])},
        "scorer": record["choices"]["scorer"],
        "train_dataset": record["choices"]["train_dataset"],
        "commit": record["commit"],
    }


def _settings(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if not key.startswith("_")}


def readme(facts: Mapping[str, Any]) -> str:
    """Return the card for people."""
    score, selection, order = facts["score"], facts["selection"], facts["order"]
    unit = f" [{score['unit']}]" if score["unit"] != "none" else ""
    lines = [
        f"# {facts['run']}",
        "",
        f"{facts['documents']:,} documents ({facts['tokens']:,} tokens) of {facts['train_dataset']} in training order, "
        f"format `{facts['format']}`, in {counted_shards(facts)}. Read the shards in the order of their names "
        "and do not shuffle.",
        "",
        f"- Score: {score['name']}{unit}, {score['better']} is better, by scorer `{facts['scorer']}`. "
        f"{score['explanation']}",
        f"- Selection: `{selection['selector']}` kept {selection['kept_documents']:,} of "
        f"{selection['of_documents']:,} documents.",
        f"- Order: `{order['orderer']}`"
        + "".join(f", {key} {value}" for key, value in order.items() if key != "orderer")
        + ".",
        f"- Order digest `{facts['order_digest']}`, corpus `{facts['corpus_digest']}`, tokens "
        f"`{facts['tokens_digest']}`; the SHA-256 of every shard is in `export.json`.",
        f"- Command: `{facts['command']}`",
        "",
        *_layout(facts),
    ]
    return "\n".join(lines) + "\n"


def counted_shards(facts: Mapping[str, Any]) -> str:
    """Return how many shards an export has, in words."""
    count = len(facts["shards"])
    return f"{count:,} shard{'s' if count != 1 else ''}"


def _layout(facts: Mapping[str, Any]) -> list[str]:
    if facts["format"] == "bin":
        return [
            f"Concatenated, the shards are a stream of `{facts['dtype']}` token ids, little-endian, no header. "
            f"Every document ends with {facts['eos_id']}; the first begins with {facts['begin_id']}"
            + (", as all others do." if facts["begin_id"] != facts["eos_id"] else ".")
            + " `documents.parquet` says where each document begins. Prompts are not marked.",
        ]
    return ["| column | |", "|---|---|", *(f"| `{name}` | {COLUMNS[name]} |" for name in facts["columns"])]
