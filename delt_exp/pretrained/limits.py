"""How long a text a pretrained network can take."""

from typing import Any

OFFSET_TYPES = (
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "roberta-prelayernorm",
)  # fmt: skip
"""Their positions begin after the id of the padding token, so that so many are never used."""
POSITION_SETTINGS = ("max_position_embeddings", "n_positions", "max_seq_len")


def position_limit(config: Any) -> int | None:
    """Return how many positions a network of this `transformers` config can take, or None when it has no limit."""
    config = config.get_text_config()
    limits = (getattr(config, name, None) for name in POSITION_SETTINGS)
    limit = next((limit for limit in limits if isinstance(limit, int)), None)
    if limit is None or config.model_type not in OFFSET_TYPES:
        return limit
    return limit - int(config.pad_token_id or 0) - 1
