"""A study on disk: `study.json` lists its runs; each run's folder has its own record."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from delt_exp.config.build import plain
from delt_exp.config.identity import differences
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import disk_errors, read_json, read_json_once, write_json
from delt_exp.report.stages import own_stage
from delt_exp.study.account import Account

FILE = "study.json"


@dataclass
class PlannedRun:
    """One run of a study. folder: absolute; error: why it failed, None while it has not."""

    arm: dict[str, str]
    seed: int
    overrides: list[str]
    slices: list[str]
    folder: str
    error: str | None

    def record(self) -> dict[str, Any] | None:
        """Return the record of the run, None while it is not finished."""
        return _read_record(Path(self.folder) / "record.json")


@dataclass(frozen=True)
class Registration:
    """That a study was fixed before its first run.

    date: ISO 8601, UTC; digest: of its definition; trained: keys of the models in the store at that time, whose losses
    could be known; None where an earlier version did not note them.
    """

    date: str
    digest: str
    trained: Sequence[str] | None = None


@dataclass
class StudyRecord:
    """A study and its runs, finished or not.

    settings: what its runs have in common, without what a study may vary (see `delt_exp.config.run_name.NOT_SCIENCE`).
    accounts: what each launch of its jobs cost, oldest first. registered: None for an exploratory study.
    """

    folder: Path
    name: str
    question: str
    settings: dict[str, Any]
    runs: list[PlannedRun]
    accounts: list[Account]
    registered: Registration | None = None

    @property
    def standing(self) -> str:
        """Whether the study was fixed before its first run, as a sentence."""
        if self.registered is None:
            return "Exploratory: the study was not registered before its first run."
        text = f"Registered on {self.registered.date[:10]}, before its first run (digest {self.registered.digest})."
        known, count = self._num_known(), len(self.finished())
        told = f" {known} of the models of {count} runs were in the store by then, so that their losses could be known."
        return f"{text}{told}" if known else text

    def _num_known(self) -> int:
        """Return how many finished runs have a model that was in the store when the study was registered."""
        earlier = set(self.registered.trained or () if self.registered else ())
        records = [record for run in self.finished() if (record := run.record()) is not None] if earlier else []
        return sum(own_stage(record, "model")["key"] in earlier for record in records)

    def finished(self) -> list[PlannedRun]:
        """Return the runs that have a record, and did not fail since: another version may have written it."""
        return [run for run in self.runs if run.error is None and run.record() is not None]

    def failed(self) -> list[PlannedRun]:
        """Return the runs that ended with an error."""
        return [run for run in self.runs if run.error is not None]

    def continue_from(self, earlier: "StudyRecord") -> None:
        """Take over the accounts of earlier launches, and the errors of runs that this launch has yet to repeat.

        Raises ConfigError where the earlier study has other settings: this one would replace its page.
        """
        changed = differences(earlier.settings, self.settings)
        if changed:
            raise ConfigError(
                f"{self.folder} holds this study with other settings ({'; '.join(changed[:3])}); give this one "
                f"another name with name=..., or remove {self.folder / FILE}"
            )
        self.accounts = list(earlier.accounts)
        errors = {run.folder: run.error for run in earlier.runs}
        for run in self.runs:
            run.error = errors.get(run.folder)

    def note_failures(self, errors: list[str | None]) -> None:
        """Keep the error of each run, in the order of `runs`."""
        for run, error in zip(self.runs, errors, strict=True):
            run.error = error

    def write(self, config: Any) -> None:
        """Write study.json; `config`: the study's node of the configuration."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            content: dict[str, Any] = {"name": self.name, "question": self.question, "study": plain(config)}
            content["settings"] = self.settings
            content["runs"] = [asdict(run) for run in self.runs]
            content["registered"] = None if self.registered is None else asdict(self.registered)
            content["accounts"] = [asdict(account) for account in self.accounts]
            write_json(self.folder / FILE, content)


def read_study(folder: Path) -> tuple[StudyRecord, Any]:
    """Return the study in `folder` and its node of the configuration.

    Raises DataError where there is none, or one of another version.
    """
    if not (folder / FILE).exists():
        raise DataError(f"{folder} has no {FILE}; give the folder of a study, such as outputs/detection")
    content = read_json(folder / FILE)
    try:
        runs = [PlannedRun(**run) for run in content["runs"]]
        accounts = [Account(**account) for account in content["accounts"]]
        name, question, settings = (content[key] for key in ("name", "question", "settings"))
        registered = Registration(**found) if (found := content.get("registered")) else None
        return StudyRecord(folder, name, question, settings, runs, accounts, registered), content["study"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{folder / FILE} was written by another version of this code ({error}); remove this file and repeat the "
            "study's command, which reuses what is finished"
        ) from error


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = read_json_once(path, path.stat().st_mtime_ns)
        return record
    except FileNotFoundError:
        return None
