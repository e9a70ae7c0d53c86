"""Perplexity under an n-gram model, read and evaluated by the KenLM library (Heafield 2011)."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.errors import DataError, DependencyError
from delt_exp.files import digest, file_sha256
from delt_exp.mapping.judge import ALL_TOKENS, TextBatch
from delt_exp.mapping.map_documents import map_texts
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool
from delt_exp.scorer.kenlm_text import CcNetText

Split = Callable[[str], list[str]]
UNKNOWN = "<unk>"
# In a text these are words like any other; KenLM would take them for the sentence marks themselves.
MARKS = frozenset({"<s>", "</s>"})


@settings
class KenlmScorer:
    """Perplexity as cc_net defines it: 10 ** (-sum of log10 p / sum of lengths) over the lines of a document.

    Each line with text is one sentence, of length words (or pieces) + 1 for its end. Blank lines are layout and do not
    count; cc_net counts each as an empty sentence. A document without text after normalisation is one empty sentence:
    its perplexity is 1 / p(</s> | <s>). Prompt and text are read as one text.

    model_path: ARPA or KenLM binary. sentencepiece_path: the pieces the model was trained on; null splits at white
    space. lower_case, strip_accents, zero_digits: as in the model's training; `edugp/kenlm` has only the digits zeroed,
    cc_net's own models all three. compat: `delt` repeats the defects of DELT's code (see CcNetText), which also rounds
    to 0.1 and so makes ties; null has none of them.

    Raises DependencyError for a missing package or model file, DataError for a file that cannot be read and for a
    document whose perplexity no float32 holds, which needs a model without probability for unknown words.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    model_path: str
    sentencepiece_path: str | None
    lower_case: bool
    strip_accents: bool
    zero_digits: bool
    compat: Literal["delt"] | None

    def __post_init__(self) -> None:
        _check_file("scorer.model_path", self.model_path)
        _package("kenlm")
        if self.sentencepiece_path is not None:
            _check_file("scorer.sentencepiece_path", self.sentencepiece_path)
            _package("sentencepiece")

    def fingerprint(self) -> str:
        """Return a hash of the content of the model files."""
        return digest([file_sha256(Path(path)) for path in (self.model_path, self.sentencepiece_path) if path])

    @property
    def meaning(self) -> Meaning:
        unit = "per word" if self.sentencepiece_path is None else "per SentencePiece piece"
        explanation = "Perplexity under an n-gram model read by KenLM; low where the text resembles the model's corpus."
        return Meaning("KenLM perplexity", unit, "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        text = CcNetText(self.lower_case, self.strip_accents, self.zero_digits, delt=self.compat == "delt")
        judge, shards = KenlmJudge(self.model_path, self.sentencepiece_path, text), pool.work_dir / "shards"
        corpus, name = pool.candidates.corpus, "scoring with KenLM"
        scores = map_texts(pool.resources, corpus, pool.rows, judge, shards, name)[:, 0]
        if self.compat == "delt":
            scores = scores.round(1)
        self._check_range(scores, pool.ids)
        return scores.astype(np.float32)

    def _check_range(self, scores: NDArray[np.floating[Any]], ids: NDArray[np.uint64]) -> None:
        row = int(scores.argmax())
        if scores[row] > np.finfo(np.float32).max:
            raise DataError(
                f"{self.model_path} gives document {int(ids[row]):016x} (row {row}) a perplexity of {scores[row]:.3g}, "
                "too large for float32: it has no probability for unknown words; train it with <unk>, as lmplz does"
            )


@dataclass(frozen=True)
class KenlmJudge:
    """Says the perplexity of whole documents; see `KenlmScorer`. text: how a document becomes sentences."""

    width: ClassVar[int] = 1
    dtype: ClassVar[str] = "float64"
    context_tokens: ClassVar[int] = ALL_TOKENS
    model_path: str
    sentencepiece_path: str | None
    text: CcNetText

    def open(self, device: str) -> Callable[[TextBatch], NDArray[np.float64]]:
        """Open the files; the CPU evaluates them, whatever the device."""
        model, split = _open_model(self.model_path), _open_splitter(self.sentencepiece_path)
        return lambda batch: np.array([perplexity(self.text.sentences(one), model, split) for one in batch.texts])


def perplexity(sentences: list[str], model: Any, split: Split) -> float:
    """Return 10 ** (-sum of log10 p / sum of lengths), each sentence from <s> to </s>; its end counts as a word."""
    log10_p, length = 0.0, 0
    for sentence in sentences:
        words = [UNKNOWN if word in MARKS else word for word in split(sentence)]
        log10_p += model.score(" ".join(words))
        length += len(words) + 1
    return float(10 ** (-log10_p / length))


def _open_model(path: str) -> Any:
    kenlm = _package("kenlm")
    config = kenlm.Config()
    config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    try:
        return kenlm.Model(path, config)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{path} is not a model that KenLM can read; give an ARPA file or the output of build_binary: {error}"
        ) from error


def _open_splitter(path: str | None) -> Split:
    if path is None:
        return str.split
    try:
        pieces: Split = _package("sentencepiece").SentencePieceProcessor(model_file=path).encode_as_pieces
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} is not a SentencePiece model; give the .model file: {error}") from error
    return pieces


def _check_file(name: str, path: str) -> None:
    if not Path(path).is_file():
        raise DependencyError(
            f"{name}={path}: no such file; download or train the model (for example en.arpa.bin and en.sp.model of "
            f"edugp/kenlm on the Hub) and set {name} to its path"
        )


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise DependencyError(
            f'scorer=kenlm needs the package {name}, which is not installed; run: pip install "delt-exp[kenlm]"'
        ) from error
