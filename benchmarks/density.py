"""Density of a million embeddings: seconds and memory, without the encoder."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.process import in_new_process
from benchmarks.table import Row
from delt_exp.scorer.density.kernel import automatic_width
from delt_exp.scorer.density.sketch import HASHES_AT_ONCE, count_collisions
from delt_exp.store.memory import PeakMemory

MILLION, AIM_SECONDS, AIM_GB = 1_000_000, 600.0, 4.0
NUM_FEATURES, NUM_CODES, HASHES_PER_CODE, NUM_SAMPLED = 384, 1000, 16, 1000


def measure(quick: bool) -> list[Row]:
    """Return what 1000 codes of 16 hashes take: a few groups of codes are timed, all of which are alike."""
    num_documents = 20_000 if quick else MILLION
    codes = 2 * HASHES_AT_ONCE // HASHES_PER_CODE
    finding, counting, gb = in_new_process(_timed, num_documents, codes)
    total = (finding + counting * NUM_CODES / codes) * MILLION / num_documents
    how = (
        f"{num_documents:,} memory-mapped vectors of {NUM_FEATURES}: width {finding:.1f} s, {codes} of {NUM_CODES} "
        f"codes {counting:.1f} s"
    )
    return [
        Row("density of 1 M embeddings", "-", total, "CPU s", how, below=AIM_SECONDS),
        Row("density of 1 M embeddings", "-", gb, "GB", f"{num_documents:,}, mapped files included", below=AIM_GB),
    ]


def _timed(num_documents: int, num_codes: int) -> tuple[float, float, float]:
    """Return CPU seconds of the width and of the codes, and the peak of the process."""
    with TemporaryDirectory() as folder:
        vectors_ND = _written(Path(folder) / "vectors.npy", num_documents)
        peak = PeakMemory()
        with peak.measure():
            started = time.process_time()
            rows_S = np.linspace(0, num_documents - 1, NUM_SAMPLED).astype(np.intp)
            width = automatic_width(vectors_ND, rows_S, HASHES_PER_CODE)
            finding = time.process_time() - started
            count_collisions(vectors_ND, width, num_codes, HASHES_PER_CODE, 0)
            counting = time.process_time() - started - finding
    return finding, counting, peak.resident_bytes / 1e9


def _written(path: Path, num_documents: int) -> np.ndarray:
    out = np.lib.format.open_memmap(path, "w+", np.float32, (num_documents, NUM_FEATURES))
    rng = np.random.default_rng(0)
    for start in range(0, num_documents, 10_000):
        block = rng.standard_normal(out[start : start + 10_000].shape, np.float32)
        out[start : start + 10_000] = block / np.linalg.norm(block, axis=1, keepdims=True)
    out.flush()
    del out
    return np.load(path, mmap_mode="r")
