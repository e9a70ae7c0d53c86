"""Any pretrained tokenizer, by Hub name or folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from delt_exp.corpus import Corpus
from delt_exp.model.pretrained import load_pretrained, pretrained_fingerprint
from delt_exp.tokenizer.base import save_tokenizer


@dataclass(frozen=True)
class HfTokenizer:
    """The tokenizer of a pretrained model: `name` is a Hub name or a folder, `revision` a branch, tag or commit."""

    VERSION: ClassVar[int] = 1
    READS_CORPUS: ClassVar[bool] = False
    name: str
    revision: str | None

    def fingerprint(self) -> str:
        """Return what identifies the files behind `name`."""
        return pretrained_fingerprint(self.name, self.revision)

    def make(self, corpus: Corpus, folder: Path) -> None:
        from transformers import AutoTokenizer

        save_tokenizer(load_pretrained(AutoTokenizer, self.name, self.revision), folder, self.name)
