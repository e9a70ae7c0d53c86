"""How long a text a pretrained network can take."""

from typing import Any

POSITION_SETTINGS = ("max_position_embeddings", "n_positions", "max_seq_len")


def position_limit(config: Any) -> int | None:
    """Return how many positions a network of this `transformers` config can take, or None when it has no limit."""
    config = config.get_text_config()
    limits = (getattr(config, name, None) for name in POSITION_SETTINGS)
    return next((limit for limit in limits if isinstance(limit, int)), None)
