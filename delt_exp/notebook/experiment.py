"""One experiment as an object that computes only what is asked for, and nothing twice."""

import re
import shlex
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from omegaconf import DictConfig, OmegaConf

from delt_exp.cli.check import check_command
from delt_exp.cli.main import at_home
from delt_exp.cli.overrides import is_sweep
from delt_exp.cli.run_info import run_info
from delt_exp.config.build import CONF, plain
from delt_exp.config.compose import composed_job
from delt_exp.config.stop import Stop
from delt_exp.corpus.corpus import Corpus
from delt_exp.errors import ConfigError
from delt_exp.notebook import shown
from delt_exp.notebook.corpora import Choice, records_of
from delt_exp.notebook.frames import frame_of_file
from delt_exp.pipeline import run
from delt_exp.progress import once
from delt_exp.report.prepared import SELECTION, record_of
from delt_exp.steps.components import Components, build_components

if TYPE_CHECKING:
    import pandas as pd

STEPS: tuple[Stop, ...] = get_args(Stop)  # before training, in their order
RESULTS = ("dataset", "metric", "value", "stderr", "unit", "better", "count")
# What follows from what an experiment is asked for, and what is more than one experiment.
NOT_HERE = {
    "stop_after": "ask for scores, selection or order instead",
    "dry_run": "python run.py forecasts costs",
    "study": "a study is many runs: python run.py study=NAME",
    "hydra": "only python run.py takes settings of Hydra",
}


class Experiment:
    """Score, select, order, train and evaluate; see `delt_exp.experiment`.

    Each step is computed when it is first asked for, with those before it, and is stored where `python run.py` with the
    same settings looks for it. Everything lies in `folder`.
    """

    def __init__(self, overrides: Sequence[str], corpora: Sequence[Choice]) -> None:
        words = [*map(at_home, overrides), *(text for choice in corpora for text in choice.overrides)]
        _refuse(words)
        check_command(CONF, words)
        self._cfg, hydra = composed_job(CONF, words)
        OmegaConf.set_readonly(self._cfg, True)
        self.components: Components = build_components(self._cfg)
        """What the configuration describes: `components.scorer`, `components.model` and the others as objects."""
        output_dir = Path(self._cfg.output_dir).expanduser()
        self._files = {one.group: one.given.write(output_dir) for one in corpora if one.given is not None}
        self._info = replace(run_info(self._cfg, hydra), command=shlex.join(["python", "run.py", *words]))
        self._reached = -1
        self._heard: set[str] = set()

    @property
    def config(self) -> DictConfig:
        """The whole configuration, read-only: `config.scorer`, `config.model.optimizer.lr` ..."""
        return self._cfg

    @property
    def folder(self) -> Path:
        """The run folder, which need not exist yet."""
        return self._info.folder

    @property
    def command(self) -> str:
        """The equivalent command line."""
        return self._info.command

    @property
    def scores(self) -> "pd.DataFrame":
        """One row per document, in the order of the corpus: id, score, source, tokens.

        For documents given as objects also `record`, the position in your data: long documents become several, and
        duplicates are left out.
        """
        self._reach("scores")
        table = frame_of_file(self.folder / "scores.parquet")
        return self.with_records(table, self._corpus)

    @property
    def selection(self) -> "pd.DataFrame":
        """The rows of `scores` that are kept, in the order of the corpus."""
        self._reach("selection")
        found = [self.folder / name for name in (SELECTION, "order.parquet")]
        return self.scores.loc[sorted(frame_of_file(next(file for file in found if file.exists()))["row"])]

    @property
    def order(self) -> "pd.DataFrame":
        """The rows of `scores` that are kept, in the order in which each is trained on first."""
        self._reach("order")
        return self.scores.loc[frame_of_file(self.folder / "order.parquet")["row"]]

    @property
    def results(self) -> "pd.DataFrame":
        """One row per evaluation set and metric, with the standard error over documents or questions; trains first."""
        import pandas as pd

        return pd.DataFrame(self.train().record["results"], columns=RESULTS)

    def train(self) -> "Experiment":
        """Train on the selected documents in the chosen order, evaluate, and return the experiment."""
        self._reach(None)
        return self

    def report(self, *, show: bool = False) -> Path:
        """Return the page of the whole run, training first if needed; show: open it in a browser."""
        page = self.train().folder / "report.html"
        if show:
            webbrowser.open(page.as_uri())
        return page

    def texts(self, rows: "pd.DataFrame") -> list[str]:
        """Return the documents of rows of `scores`, `selection` or `order`, prompts and turns included.

        `experiment.scores.nlargest(5, "score").assign(text=experiment.texts)` shows them beside their scores.
        """
        self._reach("scores")
        return list(self._corpus.texts(rows.index.tolist()))

    @property
    def record(self) -> dict[str, Any]:
        """The record of what was computed, here or by an earlier run of the same command; empty if nothing was."""
        return record_of(self.folder) or {}

    def __repr__(self) -> str:
        return shown.as_text(shown.facts(self._info, self.record))

    def _repr_html_(self) -> str:
        return shown.as_html(shown.facts(self._info, self.record))

    def _reach(self, stop: Stop | None) -> None:
        """Compute up to a step, None for all, unless this object has."""
        depth = len(STEPS) if stop is None else STEPS.index(stop)
        if depth <= self._reached:
            return
        cfg = self._cfg.copy()
        OmegaConf.set_readonly(cfg, False)
        cfg.stop_after = stop
        with once(self._heard):  # each step reads what earlier ones read, and would repeat its warnings
            run(cfg, replace(self._info, config=plain(cfg)))
        self._reached = depth

    @property
    def _corpus(self) -> Corpus:
        return Corpus(Path(self.record["documents"]["corpus"]))

    def with_records(self, table: "pd.DataFrame", corpus: Corpus) -> "pd.DataFrame":
        file = self._files.get("train_dataset")
        return table if file is None else table.assign(record=records_of(file, self.components.corpus, corpus.ids))


def _refuse(words: Sequence[str]) -> None:
    """Raise ConfigError for what is no setting of one run."""
    for word in words:
        name = re.split("[=@/.]", word.lstrip("+~"))[0]
        if word.startswith("-") or name in NOT_HERE:
            cure = NOT_HERE.get(name, "an experiment takes KEY=VALUE and GROUP=OPTION")
            raise ConfigError(f"{word!r} cannot be set in delt_exp.experiment: {cure}")
        if is_sweep(CONF, word):
            raise ConfigError(
                f"{word!r} has several values, but an experiment is one run; make one experiment per value"
            )
