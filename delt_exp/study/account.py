"""What a sweep cost, against what its distinct stages had to cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    """One launch of a study's jobs.

    wall_seconds: of the launch. job_seconds: sum over jobs, each from the start of its own code to its end.
    stage_seconds: of the distinct stages that were computed, each without the stages inside it. computed, reused:
    stage -> how many different ones.
    """

    jobs: int
    wall_seconds: float
    job_seconds: float
    stage_seconds: float
    computed: Mapping[str, int]
    reused: Mapping[str, int]

    @property
    def overhead(self) -> float | None:
        """What the jobs took as a multiple of their distinct stages; None where nothing was computed."""
        return self.job_seconds / self.stage_seconds if self.stage_seconds else None

    def summary(self) -> str:
        """Return the account in words."""
        text = f"{self.jobs} runs in {self.wall_seconds:,.0f} s: "
        if self.overhead is None:
            return f"{text}everything was cached ({_counted(self.reused)})"
        each = (self.job_seconds - self.stage_seconds) / self.jobs
        return (
            f"{text}computed {_counted(self.computed)} in {self.stage_seconds:,.0f} s; reused "
            f"{_counted(self.reused)}. Start-up, cache checks, waiting and pages added {each:.2f} s per run"
        )


def account(
    records: Sequence[Mapping[str, Any]], job_seconds: Sequence[float], wall_seconds: float, since: str
) -> Account:
    """Return the account of jobs that have just finished, from their records and the seconds each took.

    since: when they were launched, as `started` of a record; what was computed before is reused.
    """
    uses = [stage for record in records for stage in uses_since(record, since)]
    built = {name(stage): stage for stage in uses if not stage["cached"]}
    reused = {name(stage): stage for stage in uses if stage["cached"] and name(stage) not in built}
    own = sum(stage["cost"]["used"][key]["build_seconds"] for key, stage in built.items())
    counts = [dict(Counter(stage["stage"] for stage in stages.values())) for stages in (built, reused)]
    return Account(len(job_seconds), wall_seconds, sum(job_seconds), own, *counts)


def uses_since(record: Mapping[str, Any], since: str) -> list[Mapping[str, Any]]:
    """Return the stages of a run, computed or reused as seen from `since`, a time as in `started`."""
    own = [{**stage, "cached": stage["cached"] or record["started"] < since} for stage in record["stages"]]
    findings = [finding for finding in record["reused_by"] if finding["started"] >= since]
    return [*own, *(stage for finding in findings for stage in finding["computed"])]


def name(stage: Mapping[str, Any]) -> str:
    """Return the name of a stage in the store."""
    return f"{stage['stage']}/{stage['key']}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {stage}" for stage, count in sorted(counts.items())) or "nothing"
