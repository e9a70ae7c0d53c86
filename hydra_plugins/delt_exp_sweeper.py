"""Hydra looks for plugins in this package only; `study/sweep.py` and `cli/sweep.py` do the work."""

from collections.abc import Sequence
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StudySweeper(Sweeper):
    """Runs the jobs of `cfg.study`, or of a sweep without one, through whichever launcher is configured.

    common: overrides of every run that does not set them itself.
    """

    def __init__(self, common: Sequence[str]) -> None:
        super().__init__()
        self.common = list(common)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from delt_exp.cli.reporting import reporting
        from delt_exp.cli.sweep import sweep_runs
        from delt_exp.study.sweep import sweep

        assert self.config is not None  # Hydra calls `setup` first
        assert self.hydra_context is not None
        assert self.launcher is not None
        run = sweep_runs if self.config.get("study") is None else sweep
        with reporting():
            return run(self.config, self.hydra_context.config_loader, self.launcher, arguments, self.common)
