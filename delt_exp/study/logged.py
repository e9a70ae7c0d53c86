"""Hands a finished study to every configured logger that takes one."""

from typing import Any

from omegaconf import DictConfig

from delt_exp.config.build import build, plain
from delt_exp.files import digest
from delt_exp.logger.base import StudyInfo, StudyLogger
from delt_exp.report.findings import Findings
from delt_exp.study.record import StudyRecord


def log_study(cfg: DictConfig, study: StudyRecord, findings: Findings) -> None:
    """Log a study whose page is written to the loggers of its configuration; raises what they raise."""
    info = study_info(study, plain(cfg.study), findings)
    for logger in [build(node, f"logger.{name}") for name, node in cfg.logger.items()]:
        if isinstance(logger, StudyLogger):
            logger.log_study(info)


def study_info(study: StudyRecord, config: Any, findings: Findings) -> StudyInfo:
    """Return a study as loggers take it; `config`: its node of the configuration."""
    runs = {run.folder: run for run in study.finished()}  # one that is listed twice is one
    records = [record for run in runs.values() if (record := run.record()) is not None]
    study_id = digest({"study": study.name, "question": study.question, "settings": study.settings})
    return StudyInfo(study.name, study_id, study.folder, study.question, config, findings, records)
