"""A study of a few choices that stand on the command line, without a file of its own."""

from collections.abc import Sequence
from typing import Any

from delt_exp.config.fields import Seed, checked
from delt_exp.errors import ConfigError
from delt_exp.study.definition import Study, StudyReport

DIMENSION = "arm"
TAKEN = ("study", "seed", "name", "dry_run", "stop_after", "output_dir", "store", "runtime", "logger", "hydra")


@checked
def comparison(
    question: str, registered: bool, arms: Sequence[Sequence[str]], seeds: Sequence[Seed], report: StudyReport
) -> Study:
    """Return the study of these arms, each a name and its overrides, over seeds.

    Raises ConfigError for fewer than two arms, for two that are the same or have one name, and for an override that
    every run of a study has in common.
    """
    names, overrides = [arm[0] for arm in arms], [tuple(sorted(arm[1:])) for arm in arms]
    both: tuple[tuple[str, list[Any]], ...] = (("name", names), ("overrides", overrides))
    for kind, values in both:
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ConfigError(f"two arms have the same {kind}: {twice if kind == 'name' else ' '.join(twice)}")
    if len(arms) < 2:
        raise ConfigError("a comparison needs at least two arms: study=compare 'arms=[scorer=lqs,scorer=random]'")
    for text in (text for arm in arms for text in arm[1:]):
        if text.lstrip("+~").split("=")[0].split(".")[0] in TAKEN:
            cure = "give seeds=..." if text.startswith("seed=") else "give it beside them, for all runs"
            raise ConfigError(f"arms cannot differ in {text}; {cure}")
    choices = [{name: list(texts)} for name, *texts in arms]
    return Study(question, registered, seeds, None, [], {"arms": {DIMENSION: choices}}, report, None)
