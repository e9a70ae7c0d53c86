"""What the caller hears of a process that failed."""

import pytest

from delt_exp.distributed.handover import FAILED, raise_failure, report_failure
from delt_exp.errors import DeltError, DivergedError


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("process 1 of 2 failed: DivergedError: training diverged: at step 3", DivergedError),
        ("process 1 of 2 failed: DataError: DivergedError: is in the name of a file", DeltError),
    ],
)
def test_divergence_in_another_process_is_what_the_caller_may_wait_for(message, kind, tmp_path):
    """Tuned rates and retraining go on where a training run diverges."""
    report_failure(tmp_path / "job", message)
    report_failure(tmp_path / "job", "process 0 of 2 failed: DeltError: the other process is gone")
    with pytest.raises(DeltError) as error:
        raise_failure(tmp_path / "job")
    assert (type(error.value), str(error.value)) == (kind, message)
    assert (tmp_path / FAILED).exists()


def test_nothing_is_raised_where_no_process_failed(tmp_path):
    raise_failure(tmp_path / "job")
    assert not list(tmp_path.iterdir())  # and asking leaves nothing that others would take for a failure
