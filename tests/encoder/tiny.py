"""Small encoders for tests."""

from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.encoder.proxy import ProxyEncoder
from delt_exp.encoder.stage import embeddings_stage
from tests.alignment.tiny import tiny_probe
from tests.helpers import make_corpus


def tiny_encoder(context_tokens: int = 32) -> ProxyEncoder:
    return ProxyEncoder(tiny_probe(), context_tokens)


def embedded(encoder: Any, texts: list[str], resources: Any, tmp_path: Path) -> np.ndarray:
    """Return the vectors of texts, in their order."""
    corpus = make_corpus(tmp_path, texts)
    return np.asarray(embeddings_stage(resources, encoder, corpus, np.arange(len(texts))))
