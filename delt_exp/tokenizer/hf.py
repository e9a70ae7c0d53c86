"""Any pretrained tokenizer, by Hub name or folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from delt_exp.config.fields import settings
from delt_exp.errors import ConfigError
from delt_exp.pretrained.loading import load_pretrained, pretrained_fingerprint
from delt_exp.tokenizer.base import Begin, save_tokenizer, special_tokens
from delt_exp.tokenizer.chat import PLAIN_TEMPLATE


@settings
class HfTokenizer:
    """The tokenizer of a pretrained model: `name` is a Hub name or a folder, `revision` a branch, tag or commit.

    eos_token: the one of its tokens that ends a document; null is what the tokenizer names so.
    begin: what stands before every document: `bos`, `eos`, or `auto`, which is bos where the tokenizer has one.
    chat_template: `own` reads conversations through the tokenizer's, where it has one, `plain` through a plain one.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"name"})
    needs: ClassVar[frozenset[str]] = frozenset()
    name: str
    revision: str | None
    eos_token: str | None
    begin: Begin
    chat_template: Literal["own", "plain"]

    def fingerprint(self) -> str:
        """Return what identifies the files that `name` stands for."""
        return pretrained_fingerprint(self.name, self.revision)

    def make(self, texts: Iterable[str], folder: Path) -> None:
        from transformers import AutoTokenizer

        tokenizer = load_pretrained(AutoTokenizer, self.name, self.revision)
        if self.eos_token is not None:
            if self.eos_token not in tokenizer.get_vocab():
                raise ConfigError(
                    f"eos_token is {self.eos_token!r}, not a token of {self.name!r}; {special_tokens(tokenizer)}"
                )
            tokenizer.eos_token = self.eos_token
        if self.chat_template == "plain":
            tokenizer.chat_template = PLAIN_TEMPLATE
        save_tokenizer(tokenizer, folder, self.name, self.begin)
