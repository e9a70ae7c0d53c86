"""What a network and an objective read. B samples of a batch, T positions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Batch = Mapping[str, "Tensor"]
"""`input_ids` [B, T]; `labels` [B, T], where labels[:, t] is the token to predict at position t and IGNORED leaves the
position out (already shifted, unlike the `labels` argument of transformers). Optional: `position_ids` [B, T], which
begin again at 0 where a document begins that sees nothing before it, and `attention_mask` [B, T]."""
