"""Byte-level BPE trained on the training corpus, or on a dataset that several runs share."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Dataset, joined
from delt_exp.tokenizer.base import END_OF_TEXT, save_tokenizer, wrap

NUM_BYTES = 256


@settings
class BpeTokenizer:
    """Byte-level BPE (Sennrich et al. 2016, GPT-2's pre-tokenisation): lossless on any text.

    vocab_size: ids in all, the 256 bytes and the end-of-text token included; a corpus too small to fill it gives fewer.
    train_bytes: how much of the text the merges are learned from, from its start; null reads all of it. dataset: null
    is the training corpus; runs whose losses per token are to be compared need one dataset for all of them.
    """

    VERSION: ClassVar[int] = 1
    vocab_size: Annotated[int, Ge(NUM_BYTES + 1), "256 bytes and a separator"]
    train_bytes: int | None
    dataset: Dataset | None

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"corpus"} if self.dataset is None else ())

    def make(self, texts: Iterable[str], folder: Path) -> None:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        rust = Tokenizer(models.BPE())
        rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        rust.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        rust.train_from_iterator(self._beginning(texts), trainer)
        save_tokenizer(wrap(rust), folder, "bpe")

    def _beginning(self, texts: Iterable[str]) -> Iterator[str]:
        left = self.train_bytes
        if self.dataset is not None:
            texts = (joined(document.parts) for document in self.dataset.documents())
        for text in texts:
            yield text
            if left is not None:
                left -= len(text.encode())
                if left <= 0:
                    return
