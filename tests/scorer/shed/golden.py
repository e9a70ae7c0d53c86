"""Where the golden values of SHED lie; tests that read them are left out where they are missing."""

import pytest

from delt_exp.config.build import CONF

GOLDEN = CONF.parents[1] / "shared" / "golden" / "other"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the golden values are not here")
