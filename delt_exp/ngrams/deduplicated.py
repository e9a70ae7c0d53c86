"""A corpus without near-duplicates, as a stage of the store."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.corpus import corpus as corpus_module
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.writing import write_part
from delt_exp.mapping.map_documents import map_texts
from delt_exp.ngrams.minhash import BandJudge, MinHash, clusters
from delt_exp.resources import Resources

FORMAT = 1  # bump when the same documents fall into other clusters


def near_duplicate_clusters(resources: Resources, corpus: Corpus, minhash: MinHash, folder: Path) -> NDArray[np.intp]:
    """Return [N] for each document the first row of its cluster; folder: for what a killed call continues."""
    judge, rows = BandJudge(minhash), np.arange(len(corpus))
    return clusters(np.asarray(map_texts(resources, corpus, rows, judge, folder, "hashing n-grams")))


def deduplicated_stage(resources: Resources, corpus: Corpus, minhash: MinHash) -> Corpus:
    """Return a corpus with the first document of each cluster of near-duplicates; the others are counted."""
    formats = [corpus_module.FORMAT, FORMAT]
    inputs = {"corpus": corpus.facts, "near_duplicates": identity(minhash), "format": formats}

    def build(folder: Path) -> None:
        first_N = near_duplicate_clusters(resources, corpus, minhash, folder / "shards")
        write_part(corpus, np.unique(first_N), folder, "near_duplicates")
        shutil.rmtree(folder / "shards")

    return Corpus(resources.store.get("corpus", inputs, build, resumable=True).path)
