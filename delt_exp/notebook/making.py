"""What a notebook calls first: an experiment, or the scores of some documents."""

from typing import TYPE_CHECKING, Any

from delt_exp.errors import ConfigError
from delt_exp.notebook.corpora import chosen
from delt_exp.notebook.experiment import Experiment
from delt_exp.notebook.frames import frame_of_scores
from delt_exp.scorer.stage import scores_stage
from delt_exp.steps.reading import read

if TYPE_CHECKING:
    import pandas as pd


def experiment(
    *overrides: str, train_dataset: Any = None, target_dataset: Any = None, eval_dataset: Any = None
) -> Experiment:
    """Return the experiment that `python run.py` runs with these overrides, such as "scorer=perplexity"; lazily.

    A dataset is an option's name, a file, a list of texts or dicts, a DataFrame or a `datasets.Dataset`, with the
    fields text, prompt, messages, rejected and source; `eval_dataset` may be several of these by name. Raises
    ConfigError or DataError for bad input, before anything is computed.
    """
    given = {"train_dataset": train_dataset, "target_dataset": target_dataset, "eval_dataset": eval_dataset}
    given = {group: value for group, value in given.items() if value is not None}
    for word in overrides:
        if (group := word.partition("=")[0]) in given:
            raise ConfigError(f"{word!r} and {group}=... choose the same dataset; leave out one of them")
    return Experiment(overrides, [choice for group, value in given.items() for choice in chosen(group, value)])


def score(texts: Any, scorer: str, *overrides: str, target: Any = None) -> "pd.DataFrame":
    """Return the scores of documents by the option `scorer`, with the columns of `Experiment.scores`.

    Documents are not cut, and duplicates each get a row. target: the texts that a scorer such as lqs compares with, as
    for `experiment`. Nothing but the scores is prepared or checked, so a few documents are enough for most scorers.
    """
    whole = ("corpus.max_document_chars=null", "corpus.drop_duplicates=false", "eval_dataset=none")
    made = experiment(f"scorer={scorer}", *whole, *overrides, train_dataset=texts, target_dataset=target)
    resources, candidates, wanted = read(made.components)
    table = scores_stage(resources, made.components.scorer, candidates, wanted)
    return made.with_records(frame_of_scores(table, candidates), candidates.corpus)
