"""Runs a study: the jobs it asks for, through a Hydra launcher, and its page at the end."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, env_override
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict

from delt_exp.config.build import build, check_keys, plain
from delt_exp.config.run_name import common_settings, group_name
from delt_exp.config.stop import check_stop
from delt_exp.errors import ConfigError, DataError, DeltError
from delt_exp.progress import say, track
from delt_exp.study.account import Account, account
from delt_exp.study.data import file_fingerprints, missing_files, summary
from delt_exp.study.definition import Foresees, Job, KnowsPower, Study, at_seed
from delt_exp.study.forecast import gpu_hours, outlook
from delt_exp.study.logged import log_study
from delt_exp.study.page import read_findings, write_findings
from delt_exp.study.record import FILE, PlannedRun, StudyRecord, read_study
from delt_exp.study.registration import definition, is_registered, registration
from delt_exp.study.told import tell

WORDS = {"scores": "scoring runs", "model": "training runs"}


class Plan(NamedTuple):
    """A study before its jobs are launched: one command, one composed configuration and one planned run per job."""

    study: Study
    record: StudyRecord
    commands: list[list[str]]
    configs: list[DictConfig]


def sweep(
    cfg: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str], common: Sequence[str]
) -> list[JobReturn]:
    """Launch every job of `cfg.study`, list those that failed, write the page; return what the launcher returned.

    arguments: overrides of the command line, common to all jobs. common: those of jobs that do not set them otherwise.
    A failed job does not stop the others. With dry_run=true the outlook is all. Raises ConfigError when the command
    sets what the study varies, DeltError when a run that others start from fails.
    """
    check_stop(cfg.stop_after, cfg.study)
    plan = _plan(cfg, loader, launcher, arguments, common)
    missing = missing_files(plan.configs)
    if missing and not cfg.dry_run:
        raise DataError(summary(missing))
    _announce(plan)
    if isinstance(plan.study.report, Foresees) and not missing:
        for sentence in plan.study.report.outlook(plan.configs):
            say(sentence)
    if isinstance(plan.study.report, KnowsPower):
        for sentence in plan.study.report.power(plan.record):
            say(sentence)
    root, wanted = Path(cfg.store.root).expanduser(), plan.study.registered
    is_fixed = (wanted or is_registered(root, plan.record.name)) and not missing
    files = file_fingerprints(plan.configs) if is_fixed else []
    fixed = definition(plan.record, plan.configs, cfg.study, files)
    plan.record.registered = registration(root, plan.record, fixed, wanted=wanted, dry=cfg.dry_run)
    if plan.record.registered or not (wanted and cfg.dry_run):
        say(plan.record.standing)
    if cfg.dry_run:
        if missing:
            say(f"warning: {summary(missing)}")
        return []
    plan.configs.clear()  # half a megabyte each, through which Python would look for garbage during every run
    returns = _launch(cfg, launcher, plan)
    _finish(cfg, plan.record)
    return returns


def _plan(
    cfg: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str], common: Sequence[str]
) -> Plan:
    """Compose all jobs; launches the runs that they start from, if the study has any."""
    study: Study = build(cfg.study, "study")
    jobs = side_by_side(study.jobs(), _width(cfg.hydra.launcher))
    _check_arguments(arguments, study, jobs)
    commands = [with_common(common, [*at_seed(study.common, job.seed), *arguments, *job.overrides]) for job in jobs]
    if study.base is not None:
        bases = [tuple(with_common(common, _base_command(at_seed(study.base, job.seed), arguments))) for job in jobs]
        commands = _from_bases(cfg, loader, launcher, bases, commands)
    configs = list(all_composed(cfg, loader, commands))
    runs = [_planned(job, config) for job, config in zip(jobs, configs, strict=True)]
    name = group_name(cfg, cfg.hydra.runtime.choices)
    folder = Path(cfg.output_dir).expanduser() / name
    record = StudyRecord(folder, name, study.question, common_settings(cfg), runs, [])
    if (folder / FILE).exists():
        record.continue_from(read_study(folder)[0])
    return Plan(study, record, commands, configs)


def side_by_side(jobs: Sequence[Job], width: int) -> list[Job]:
    """Return the jobs so that `width` neighbours are one arm at different seeds, as far as there are seeds.

    Neighbours run at the same time. Those of one seed often need the same score, and all but one would wait for it.
    """
    seeds = list(dict.fromkeys(job.seed for job in jobs))
    group = {seed: number // width for number, seed in enumerate(seeds)}
    arms = list(dict.fromkeys(tuple(job.arm.items()) for job in jobs))
    place = {arm: number for number, arm in enumerate(arms)}
    return sorted(jobs, key=lambda job: (group[job.seed], place[tuple(job.arm.items())]))


def _width(launcher: DictConfig) -> int:
    """Return how many jobs a launcher runs at once; joblib means all cores by -1."""
    width = int(launcher.get("n_jobs") or launcher.get("array_parallelism") or 1)
    return width if width > 0 else os.cpu_count() or 1


def _launch(cfg: DictConfig, launcher: Launcher, plan: Plan) -> list[JobReturn]:
    """Run the jobs; study.json lists them before the first and holds errors and account after the last."""
    record = plan.record
    record.write(cfg.study)
    started, since = time.monotonic(), datetime.now(UTC).isoformat(timespec="microseconds")
    returns = launched(launcher, plan.commands)
    record.note_failures([failure(result) for result in returns])
    record.accounts.append(_account(record, returns, time.monotonic() - started, since))
    record.write(cfg.study)
    say(record.accounts[-1].summary())
    return returns


def _finish(cfg: DictConfig, record: StudyRecord) -> None:
    """Tell what failed, write the page from what is finished, and leave with status 1 where anything failed."""
    for run in record.failed():
        say(f"failed: {' '.join(run.overrides)}\n  {run.error}")
    if record.finished():
        _publish(cfg, record)
    if record.failed():
        raise SystemExit(1)


def launched(launcher: Launcher, commands: list[list[str]]) -> list[JobReturn]:
    """Run the commands; raises DeltError when the launcher gives up because the process of a run is gone."""
    # joblib's resource trackers outlive a sweep. Of a worker that was killed they tell every semaphore they remove,
    # after the last line of the sweep; nothing else is silenced.
    filters = [*filter(None, [os.environ.get("PYTHONWARNINGS")]), "ignore:resource_tracker"]
    try:
        with env_override({"PYTHONWARNINGS": ",".join(filters)}):
            return list(launcher.launch(commands, initial_job_idx=0))
    except DeltError:
        raise
    except Exception as error:  # jobs return their errors; what a lost process raises is up to the launcher
        reason = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
        raise DeltError(
            f"a run ended without a result ({reason}); repeat the command: finished runs are reused, others continue"
        ) from error


def _publish(cfg: DictConfig, record: StudyRecord) -> None:
    """Write the page and log the study; where failed runs leave too little to compare, say so."""
    try:
        study, findings = read_findings(record.folder)
    except DataError as error:
        if not record.failed():
            raise
        say(f"no page yet: {error}")
        return
    tell(findings, write_findings(study, findings))
    log_study(cfg, study, findings)


def _account(record: StudyRecord, returns: Sequence[JobReturn], wall_seconds: float, since: str) -> Account:
    done = [(run, result.return_value) for run, result in zip(record.runs, returns, strict=True) if run.error is None]
    return account([run.record() or {} for run, _ in done], [seconds for _, seconds in done], wall_seconds, since)


def with_common(common: Sequence[str], command: Sequence[str]) -> list[str]:
    """Return a command with the common overrides before it whose keys it does not set."""
    given = {_key(text) for text in command}
    return [*(text for text in common if _key(text) not in given), *command]


def _base_command(base: Sequence[str], arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the command of a run that others start from; what it sets itself counts more than the arguments."""
    given = {_key(text) for text in base}
    return (*(text for text in arguments if _key(text) not in given), *base)


def _from_bases(
    cfg: DictConfig, loader: ConfigLoader, launcher: Launcher, bases: Sequence[tuple[str, ...]],
    commands: list[list[str]],
) -> list[list[str]]:  # fmt: skip
    """Launch the distinct runs that the others start from and return the commands of these, each with its base.

    What the commands lack is said before.
    """

    def at(folders: Sequence[str]) -> list[list[str]]:
        return [
            [text.replace("{base}", folder) for text in command]
            for folder, command in zip(folders, commands, strict=True)
        ]

    nowhere = ["base"] * len(commands)
    missing = [] if cfg.dry_run else missing_files([_composed(cfg, loader, command) for command in at(nowhere)])
    if missing:
        raise DataError(summary(missing))
    distinct = list(dict.fromkeys(bases))
    for error in map(failure, launched(launcher, [list(base) for base in distinct])):
        if error is not None:
            raise DeltError(f"a run that others start from failed: {error}")
    folders = {base: str(folder_of(_composed(cfg, loader, base))) for base in distinct}
    return at([folders[base] for base in bases])


def all_composed(cfg: DictConfig, loader: ConfigLoader, commands: Sequence[Sequence[str]]) -> Iterator[DictConfig]:
    """Yield the configuration of every command, showing how far it is.

    Raises ConfigError for a key that the chosen component does not have, such as one that a preset sets for another.
    """
    with track("composing", len(commands), "runs") as task:
        for command in commands:
            try:
                composed = _composed(cfg, loader, command)
            except HydraException as error:
                raise ConfigError(f"{' '.join(command)}: {str(error).strip().splitlines()[0]}") from error
            for key in composed:
                if key not in ("hydra", "study"):
                    check_keys(plain(composed[key]), str(key))
            yield composed
            task.advance()


def _composed(cfg: DictConfig, loader: ConfigLoader, command: Sequence[str]) -> DictConfig:
    composed = loader.load_sweep_config(cfg, list(command))
    with open_dict(composed):
        composed.hydra.job.num = 0
    return composed


def folder_of(composed: DictConfig) -> Path:
    """Return where the run of a configuration will be."""
    return (Path(composed.hydra.sweep.dir) / str(composed.hydra.sweep.subdir)).absolute()


def _planned(job: Job, composed: DictConfig) -> PlannedRun:
    return PlannedRun(dict(job.arm), job.seed, list(job.overrides), list(job.slices), str(folder_of(composed)), None)


def _check_arguments(arguments: Sequence[str], study: Study, jobs: Sequence[Job]) -> None:
    varied = {_key(text) for texts in (study.common, *(job.overrides for job in jobs)) for text in texts}
    for argument in arguments:
        key = _key(argument)
        if key in varied:
            cure = "study.seeds=[...]" if key == "seed" else "study.slices or study.common"
            raise ConfigError(f"{argument}: {key} is set by this study; change it in {cure}")


def _key(override: str) -> str:
    return override.split("=")[0].lstrip("+~")


def _announce(plan: Plan) -> None:
    """Say what is to be computed, at most, and what will be reused."""
    record, forecast = plan.record, plan.study.forecast
    done, total = len(record.finished()), len(record.runs)
    arms = len({tuple(sorted(run.arm.items())) for run in record.runs})
    say(f"{record.name}: {total} runs ({arms} arms), {done} finished before")
    needs = outlook(plan.configs, Path(record.runs[0].folder).parent)
    parts = [f"{len(need.missing)} {WORDS[kind]} to compute, {need.cached} cached" for kind, need in needs.items()]
    say(f"distinct settings: {'; '.join(parts)}; of those that turn out equal, only one is computed")
    if forecast is not None:
        hours = gpu_hours(needs, forecast)
        each = ", ".join(f"{WORDS[kind]} {value:,.0f}" for kind, value in hours.items())
        pace = f"at {forecast.gpu_tflops:g} TFLOP/s per GPU"
        say(f"forecast: {sum(hours.values()):,.0f} GPU-hours ({each}) {pace}, without evaluation")


def failure(result: JobReturn) -> str | None:
    """Return what a run failed with, None for one that did not."""
    return str(result._return_value) if result.status != JobStatus.COMPLETED else None
