"""A sweep of `-m` without a study: every run is started, and each that fails is reported in one line.

`output_dir/sweeps/NAME` keeps what the sweep was, `multirun.yaml`, its configuration, and `sweep.json`, what it varies
and how many runs it has, and what came of it: `report.html` and `tables/`.
NAME is `name`, or made of the command: repeated, it is the same sweep.
"""

from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

from delt_exp.cli.run_info import sweep_file
from delt_exp.config.run_name import common_settings
from delt_exp.files import digest, write_json, written_aside
from delt_exp.progress import say
from delt_exp.study.page import read_findings, write_findings
from delt_exp.study.record import PlannedRun, StudyRecord
from delt_exp.study.sweep import all_composed, failure, folder_of, launched, with_common
from delt_exp.study.told import tell

REPORT = {"_target_": "delt_exp.study.comparison.combinations.CombinationsReport", "alpha": 0.05}


def sweep_runs(
    cfg: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str], common: Sequence[str]
) -> list[JobReturn]:
    """Launch every combination of the arguments and return what the launcher returned.

    common: overrides of runs that do not set them otherwise. All configurations are composed before the first run. A
    failed run does not stop the others; they are named at the end, and the command leaves with status 1. Raises
    DeltError when a run ends without a result.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
    jobs = [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]
    commands = [with_common(common, job) for job in jobs]
    varied = [override.get_key_element() for override in overrides if override.is_sweep_override()]
    name = str(cfg.name) if cfg.name is not None else f"sweep-{digest(sorted(arguments))[:8]}"
    with open_dict(cfg):  # every run learns by this which sweep it belongs to
        quoted = name.replace("'", "\\'")
        cfg.hydra.overrides.hydra.append(f"hydra.job.name='{quoted}'")
    configs = list(all_composed(cfg, loader, commands))
    if not cfg.dry_run:
        _write(cfg, name, varied, len(commands))
    returns = launched(launcher, commands)
    failed = [(command, failure(result)) for command, result in zip(commands, returns, strict=True)]
    told = [(command, error) for command, error in failed if error is not None]
    if not cfg.dry_run:
        _publish(cfg, name, [
            _planned(command, config, varied, error)
            for (command, error), config in zip(failed, configs, strict=True)
        ])  # fmt: skip
    for command, error in told:
        say(f"failed: {' '.join(text for text in command if text.split('=')[0] in varied)}\n  {error}")
    if told:
        say(f"{len(told)} of {len(commands)} runs failed; the same command computes only what is missing")
        raise SystemExit(1)
    return returns


def _write(cfg: DictConfig, name: str, varied: Sequence[str], num_runs: int) -> None:
    """Write what the sweep is, where those of other commands are not."""
    file = sweep_file(cfg, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(file.with_name("multirun.yaml")) as aside:
        OmegaConf.save(cfg, aside)
    write_json(file, {"varied": list(varied), "num_runs": num_runs})


def _planned(command: Sequence[str], config: DictConfig, varied: Sequence[str], error: str | None) -> PlannedRun:
    """Return a run of a sweep as one of a study, whose arms are what is varied besides the seed."""
    values = dict(text.split("=", 1) for text in command if "=" in text)
    arm = {key.lstrip("+"): values[key] for key in varied if key in values and key != "seed"}
    return PlannedRun(arm or {"runs": "all"}, config.seed, list(command), [], str(folder_of(config)), error)


def _publish(cfg: DictConfig, name: str, runs: list[PlannedRun]) -> None:
    """Write the page of a sweep and tell what it says; nothing where no run is finished."""
    question = f"What do the runs of {name} say about {' and '.join(runs[0].arm)}?"
    study = StudyRecord(sweep_file(cfg, name).parent, name, question, common_settings(cfg), runs, [])
    study.write({"report": REPORT})
    if study.finished():
        _, findings = read_findings(study.folder)
        tell(findings, write_findings(study, findings))
