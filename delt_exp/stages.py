"""The stages of an experiment, each found in the store or computed once.

A corpus is keyed by its dataset's settings and files; everything after it by content alone: the same documents under
another path, or the same sequence chosen in another way, are the same stage.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from delt_exp import corpus as corpus_module
from delt_exp import tokens as tokens_module
from delt_exp import train as train_module
from delt_exp.corpus import Corpus, CorpusSettings, write_corpus
from delt_exp.dataset.base import Dataset
from delt_exp.files import write_json
from delt_exp.identity import identity
from delt_exp.metrics_file import MetricsFile
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Forecasting, Pool, Scorer, TokenizedCorpus
from delt_exp.scorer.table import ScoreTable
from delt_exp.store import Store
from delt_exp.tokenizer import base as tokenizer_module
from delt_exp.tokenizer.base import Tokenizer, TokenizerMaker
from delt_exp.tokens import Tokens, write_tokens
from delt_exp.train import OnMetrics, TrainerSettings, TrainJob, train


def corpus_stage(store: Store, dataset: Dataset, settings: CorpusSettings) -> Corpus:
    """Return the documents of a dataset on disk; raises DataError when there are none."""
    inputs = {"dataset": identity(dataset), "format": corpus_module.FORMAT, **asdict(settings)}
    use = store.get("corpus", inputs, lambda folder: write_corpus(dataset, settings, folder))
    return Corpus(use.path)


def tokenizer_stage(store: Store, maker: TokenizerMaker, corpus: Corpus) -> Tokenizer:
    """Return the tokenizer, trained on `corpus` where it is one that is trained."""
    read = corpus.digest if maker.READS_CORPUS else None
    inputs = {"tokenizer": identity(maker), "corpus": read, "format": tokenizer_module.FORMAT}
    return Tokenizer(store.get("tokenizer", inputs, lambda folder: maker.make(corpus, folder)).path)


def tokens_stage(store: Store, corpus: Corpus, tokenizer: Tokenizer) -> TokenizedCorpus:
    """Return a corpus together with its token ids."""
    inputs = {"corpus": corpus.digest, "tokenizer": tokenizer.digest, "format": tokens_module.FORMAT}
    use = store.get("tokens", inputs, lambda folder: write_tokens(corpus, tokenizer, folder))
    return TokenizedCorpus(corpus, Tokens(use.path))


def scores_stage(
    store: Store, scorer: Scorer, candidates: TokenizedCorpus, target: TokenizedCorpus | None,
    tokenizer: Tokenizer, trainer: TrainerSettings, runtime: Runtime,
) -> ScoreTable:  # fmt: skip
    """Return one score for every candidate; raises DataError when the scorer gives anything but finite numbers."""
    reads_tokens = scorer.READS_TOKENS
    inputs = {
        "scorer": identity(scorer),
        "corpus": candidates.corpus.digest,
        "tokens": candidates.tokens.digest if reads_tokens else None,
        "target": target.tokens.digest if target is not None and scorer.READS_TARGET else None,
        "precision": trainer.resolved_precision() if reads_tokens else None,
    }

    def build(folder: Path) -> None:
        work, evidence = folder / "work", folder / "evidence"
        work.mkdir(exist_ok=True)
        evidence.mkdir(exist_ok=True)
        read_target = target if scorer.READS_TARGET else None
        pool = Pool(candidates, read_target, tokenizer, store, trainer, work, evidence)
        table = ScoreTable(candidates.corpus.ids, scorer.score(pool, runtime), scorer.meaning)
        table.save(folder / "scores.parquet")
        costs = scorer.forecast(pool, runtime) if isinstance(scorer, Forecasting) else []
        write_json(evidence / "flops.json", sum(cost.flops for cost in costs))
        shutil.rmtree(work)

    return ScoreTable.load(store.get("scores", inputs, build, resumable=True).path / "scores.parquet")


@dataclass(frozen=True)
class TrainedModel:
    """A finished training: its folder and the key that names it."""

    folder: Path
    key: str

    @property
    def pretrained(self) -> Path:
        """Model and tokenizer in Hugging Face format."""
        return self.folder / "model"


def training_stage(store: Store, job: TrainJob, on_metrics: OnMetrics | None = None) -> TrainedModel:
    """Return the model trained on a plan; one sequence of documents is trained once, however it was chosen.

    on_metrics gets every line of the training metrics, live or, for a training that was found, read back.
    """
    inputs = {
        "recipe": identity(job.recipe),
        "plan": job.plan.digest,
        "seed": job.seed,
        "format": train_module.FORMAT,
        "precision": job.trainer.resolved_precision(),
    }
    use = store.get("model", inputs, lambda folder: train(job, folder, on_metrics), resumable=True)
    if use.cached and on_metrics is not None:
        for row in MetricsFile(use.path / "metrics.csv").rows():
            on_metrics(row)
    return TrainedModel(use.path, use.key)
