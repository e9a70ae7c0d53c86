"""In which sequence documents are trained: functions of `Candidates` that return a permutation of the rows.

Position t of the result is the row that is trained t-th. No orderer but `identity` depends on the order of the rows
(documents of equal id may change places). Each accepts any N, 0 included; a setting outside its range is a ConfigError.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.candidates import Candidates

Orderer = Callable[[Candidates], NDArray[np.intp]]
