"""The stages that read: documents, tokenizer, tokens, overlap.

A corpus is keyed by its dataset's settings and files; everything after it by content alone: the same documents under
another path, or the same sequence chosen in another way, are the same stage.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.corpus import corpus as corpus_module
from delt_exp.corpus import overlap as overlap_module
from delt_exp.corpus import tokens as tokens_module
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens, write_tokens
from delt_exp.corpus.writing import CorpusSettings, write_corpus, write_part
from delt_exp.dataset.base import Dataset
from delt_exp.dataset.near_duplicates import near_duplicates
from delt_exp.errors import DataError
from delt_exp.files import read_json, write_json
from delt_exp.progress import once, say
from delt_exp.store.store import Store
from delt_exp.tokenizer import base as tokenizer_module
from delt_exp.tokenizer.base import Tokenizer, TokenizerMaker


def corpus_stage(store: Store, dataset: Dataset, settings: CorpusSettings) -> Corpus:
    """Return the documents of a dataset on disk; raises DataError where there are none, or files are being written."""
    about = identity(dataset)

    def build(folder: Path) -> None:
        with once(set()):  # what is said of the files at the second look is said at the first
            write_corpus(dataset, settings, folder)
            about_now = identity(dataset)
        if about_now != about:  # the stage would hold other documents than its key names
            raise DataError(f"files changed while they were read: {dataset!r}; repeat the command once they are whole")

    inputs = {"dataset": about, "format": corpus_module.FORMAT, **asdict(settings)}
    return Corpus(store.get("corpus", inputs, build).path)


def tokenizer_stage(store: Store, maker: TokenizerMaker, corpus: Corpus | None) -> Tokenizer:
    """Return the tokenizer; corpus: what it is trained on, None for one that needs no training."""
    read = corpus if "corpus" in maker.needs else None
    digest = None if read is None else read.digest
    inputs = {"tokenizer": identity(maker), "corpus": digest, "format": tokenizer_module.FORMAT}
    texts: Iterable[str] = () if read is None else read.texts()
    return Tokenizer(store.get("tokenizer", inputs, lambda folder: maker.make(texts, folder)).path)


def tokens_stage(store: Store, corpus: Corpus, tokenizer: Tokenizer) -> TokenizedCorpus:
    """Return a corpus together with its token ids."""
    inputs = {"corpus": corpus.digest, "tokenizer": tokenizer.digest, "format": tokens_module.FORMAT}
    use = store.get("tokens", inputs, lambda folder: write_tokens(corpus, tokenizer, folder))
    return TokenizedCorpus(corpus, Tokens(use.path))


def text_stage(store: Store, corpus: Corpus, tokenizer: Tokenizer) -> TokenizedCorpus:
    """Return a corpus with its token ids, without documents whose text has no token; their number is in its counts.

    A normaliser can take away all there is, zero-width characters for example; of a preference, from either answer.
    Raises DataError when none is left.
    """
    whole = tokens_stage(store, corpus, tokenizer)
    kept = np.flatnonzero(_have_tokens(whole.tokens))
    num_empty = len(whole) - len(kept)
    if not num_empty:
        return whole
    if not len(kept):
        raise DataError(f"the tokenizer turns none of the {len(whole)} documents into tokens; choose another tokenizer")
    say(f"{num_empty} of {len(whole)} documents have text but no token under this tokenizer: they are left out")
    inputs = {"corpus": corpus.facts, "tokens": whole.tokens.digest, "format": corpus_module.FORMAT}
    part = Corpus(store.get("corpus", inputs, lambda folder: write_part(corpus, kept, folder, "without_tokens")).path)
    return tokens_stage(store, part, tokenizer)


def _have_tokens(tokens: Tokens) -> NDArray[np.bool_]:
    """Return [N] whether there is something to predict; in a preference, in both answers."""
    if tokens.rejected is None:
        return tokens.num_predicted > 0
    answers = [side.lengths > side.answer_starts for side in (tokens, tokens.rejected)]
    return np.logical_and(*answers)


def overlap_stage(store: Store, candidates: Corpus, sets: Sequence[Corpus]) -> list[dict[str, int]]:
    """Return for each of `sets` its distinct documents, how many are candidates (exact) and how many others nearly are.

    A rejected answer is not looked at. Each is {documents, exact, near}; see `delt_exp.dataset.near_duplicates`.
    """
    corpora = {corpus.digest: corpus for corpus in sets}
    inputs = {"candidates": candidates.digest, "sets": sorted(corpora), "format": overlap_module.FORMAT}

    def build(folder: Path) -> None:
        counts = overlap_module.count_overlap(candidates, list(corpora.values()))
        write_json(folder / "overlap.json", dict(zip(corpora, counts, strict=True)))

    found = read_json(store.get("overlap", inputs, build).path / "overlap.json")
    return [found[corpus.digest] for corpus in sets]


def decontaminated_stage(store: Store, corpus: Corpus, sets: Sequence[Corpus]) -> Corpus:
    """Return a corpus without the documents that are, or nearly are, in one of `sets`; DataError if none is left.

    Of a preference only the chosen side is compared.
    """
    if not sets:
        return corpus
    corpora = {one.digest: one for one in sets}
    formats = [corpus_module.FORMAT, overlap_module.FORMAT]
    inputs = {"corpus": corpus.facts, "without": sorted(corpora), "format": formats}

    def build(folder: Path) -> None:
        texts = [one.texts() for one in corpora.values()]
        is_near, _ = near_duplicates(corpus.texts(), texts, len(corpus))
        # Texts without a word have no 5-grams, but the same ones are the same all the same.
        is_near |= np.isin(corpus.ids, np.concatenate([one.ids for one in corpora.values()]))
        if is_near.all():
            raise DataError(
                f"all {len(corpus)} documents are, or nearly are, in the target or an evaluation set; give other "
                "documents, or decontaminate=false to keep them"
            )
        write_part(corpus, np.flatnonzero(~is_near), folder, "contaminated")

    return Corpus(store.get("corpus", inputs, build).path)
