"""What every tokenizer leaves behind, and how it is used afterwards.

A tokenizer folder is what `save_pretrained` of `transformers` writes (so the exported model carries it) and `meta.json`
with the few facts needed to encode, so that encoding imports only `tokenizers`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.base import Part
from delt_exp.errors import ConfigError
from delt_exp.files import DescribedFolder, digest, file_sha256, write_json
from delt_exp.tokenizer.chat import ChatTemplate
from delt_exp.tokenizer.span import Span, encode_marked, encode_runs

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RustTokenizer

FORMAT = 2  # bump when the same settings leave another folder
END_OF_TEXT = "<|endoftext|>"
Begin = Literal["auto", "bos", "eos"]


class TokenizerMaker(Protocol):
    """Makes a tokenizer folder; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]

    @property
    def needs(self) -> frozenset[str]:
        """`corpus` where the result depends on the training corpus."""

    def make(self, texts: Iterable[str], folder: Path) -> None:
        """Write the tokenizer to `folder` through `save_tokenizer`; texts: the training corpus, if it is read."""


class Vocabulary(Protocol):
    """What a network's configuration says of a tokenizer: how many ids there are, and those that mark a document."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def begin_id(self) -> int: ...
    @property
    def eos_id(self) -> int: ...


@dataclass(frozen=True)
class Tokenizer(DescribedFolder):
    """Encodes text to token ids without adding special tokens.

    meta: `vocab_size`, `begin_id` and `eos_id`. digest: tokenizers of equal ones encode equally.
    """

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""
        return int(self.meta["vocab_size"])

    @property
    def begin_id(self) -> int:
        """Id that stands before every document, in training and wherever a model reads one."""
        return int(self.meta["begin_id"])

    @property
    def eos_id(self) -> int:
        """Id that ends every document."""
        return int(self.meta["eos_id"])

    @cached_property
    def _rust(self) -> "RustTokenizer":
        from tokenizers import Tokenizer as RustTokenizer

        tokenizer = RustTokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.post_processor = None  # special tokens are nobody's but ours, and offsets count spaces
        tokenizer.encode_special_tokens = True  # a document that contains "<|endoftext|>" as text does not end there
        return tokenizer

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text; uses every core."""
        return [encoding.ids for encoding in self._rust.encode_batch_fast(list(texts), add_special_tokens=False)]

    def spans(self, parts: Sequence[Part]) -> list[Span]:
        """Return a document as what is encoded: its parts, or a conversation through the chat template."""
        if parts[-1].role == "text":
            return [Span(part.text, part.is_predicted) for part in parts]
        return self._chat.spans(parts)

    def prompt_spans(self, turns: Sequence[Part]) -> list[Span]:
        """Return a conversation that the assistant is to continue, through the chat template, for `encode_spans`."""
        return self._chat.prompt(turns)

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was tuned on conversations of a format that its tokenizer knows."""
        return self.pretrained().chat_template is not None

    @cached_property
    def _chat(self) -> ChatTemplate:
        return ChatTemplate(self.pretrained(), self.meta["begin_id"])

    def encode_spans(self, documents: Sequence[Sequence[Span]]) -> list[tuple[list[int], NDArray[np.bool_]]]:
        """Return for each document its token ids, and which of them are predicted.

        The spans of a document are encoded as the one text they are, so that no space and no token border appears
        between them: a token is predicted when any of its characters is. Uses every core.
        """
        return encode_runs(self._rust, documents)

    def encode_marked(self, spans: Sequence[Span]) -> tuple[list[int], NDArray[np.intp]]:
        """Return the token ids of the one text that spans are, and for each token the span of its last character."""
        return encode_marked(self._rust, spans)

    def beginning(self, text: str, most_tokens: int) -> str:
        """Return the text of the first `most_tokens` tokens of a text, without half a character at its end."""
        (ids,) = self.encode([text])
        return text if len(ids) <= most_tokens else self.decode(ids[:most_tokens]).rstrip("\ufffd")

    def vocabulary(self) -> dict[str, int]:
        """Return every token with its id, special tokens included."""
        return dict(self._rust.get_vocab(with_added_tokens=True))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens shown."""
        return str(self._rust.decode(list(ids), skip_special_tokens=False))

    def text_before(self, ids: Sequence[int], stop: Sequence[str]) -> str:
        """Return the text of token ids, up to the first text of `stop`."""
        text = self.decode(ids)
        ends = [text.index(one) for one in stop if one in text]
        return text[: min(ends, default=len(text))]

    def pretrained(self) -> Any:
        """Return the tokenizer as a `transformers` object."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder)


def save_tokenizer(tokenizer: Any, folder: Path, name: str, begin: str = "auto") -> None:
    """Write a fast `transformers` tokenizer and its facts; raises ConfigError when it cannot serve here.

    begin: what stands before every document: `bos`, `eos`, or `auto`, which is bos where the tokenizer has one.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(f"tokenizer {name!r} has no fast (Rust) version; choose one that has a tokenizer.json")
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"tokenizer {name!r} has no end-of-text token, which separates documents here; name one of its tokens as "
            f"eos_token of tokenizer, proxy or probe, wherever {name!r} stands: {special_tokens(tokenizer)}"
        )
    if begin == "bos" and tokenizer.bos_token_id is None:
        raise ConfigError(f"tokenizer {name!r} has no bos token; use tokenizer.begin=auto or tokenizer.begin=eos")
    eos_id, bos_id = tokenizer.eos_token_id, tokenizer.bos_token_id
    begin_id = eos_id if begin == "eos" or bos_id is None else bos_id
    tokenizer.save_pretrained(folder)
    name_of_content = f"{file_sha256(folder / 'tokenizer.json')[:16]}-{eos_id}"
    if begin_id != eos_id:
        name_of_content += f"-{begin_id}"
    if tokenizer.chat_template is not None:
        name_of_content += f"-{digest(tokenizer.chat_template)}"
    vocab_size = max(tokenizer.get_vocab().values()) + 1  # ids may have gaps
    meta = {"vocab_size": vocab_size, "begin_id": begin_id, "eos_id": eos_id, "digest": name_of_content}
    write_json(folder / "meta.json", meta)


def special_tokens(tokenizer: Any) -> str:
    """Return in words which special tokens a `transformers` tokenizer has."""
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return f"its special tokens are {', '.join(special)}" if special else "it has no special tokens"


def wrap(rust: "RustTokenizer") -> Any:
    """Return a byte-level `tokenizers` object as a `transformers` tokenizer with one special token."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=rust, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT, clean_up_tokenization_spaces=False
    )
