"""How many candidates say nearly the same, by a kernel density over embeddings. R documents to score, N candidates."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, settings
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.stage import check_vectors, embeddings_stage
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import random_rows
from delt_exp.scorer.base import Pool
from delt_exp.scorer.density.kernel import automatic_width
from delt_exp.scorer.density.sketch import Density, count_collisions
from delt_exp.store.evidence import Evidence, Figure

NUM_SAMPLED = 1000  # documents whose distances to all others decide an automatic width
LEAST_DEVIATION = 0.05


@settings
class DensityScorer:
    """ln D, where D is the average number of candidates with the document's code: 1 for a document like no other.

    Coleman and Shrivastava's sketch in the use of Sachdeva et al. 2024, arXiv:2402.09668. Lower is better, and to be
    drawn from, not cut: `selector=gumbel_top_k` with temperature 1, not standardised, draws in proportion to 1 / D.
    encoder: what makes a vector of a document. num_codes: how many codes D is averaged over. hashes_per_code: joined to
    one code; 1 is the published form, under which distant documents count nearly as much as near ones. width: of a bin
    of a hash, a distance between vectors; with `auto` a document makes up half of its own D, on average.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    encoder: Encoder
    num_codes: Count
    hashes_per_code: Count
    width: Literal["auto"] | PositiveFloat
    seed: Seed

    @property
    def meaning(self) -> Meaning:
        explanation = "The logarithm of how many candidates are near in meaning, the document itself included."
        return Meaning("log density", "ln documents", "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        corpus = pool.candidates.corpus
        with pool.evidence.phase("encoding"):
            vectors_ND = embeddings_stage(pool.resources, self.encoder, corpus, np.arange(len(corpus)))
        check_vectors(vectors_ND, corpus.ids)
        with pool.evidence.phase("counting"):
            width = self.width
            if width == "auto":
                sample = random_rows(corpus.ids, NUM_SAMPLED, self.seed, "documents of a density's width")
                width = automatic_width(vectors_ND, sample, self.hashes_per_code)
            density = count_collisions(vectors_ND, width, self.num_codes, self.hashes_per_code, self.seed)
        _show(pool.evidence, density, width, self.hashes_per_code)
        return np.log(density.mean[pool.rows]).astype(np.float32)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the encoder; counts cost next to nothing beside it."""
        return self.encoder.forecast(sizes, resources)


def _show(evidence: Evidence, density: Density, width: float, hashes_per_code: int) -> None:
    mean_N = density.mean
    deviation = float(mean_N.std() / mean_N.mean())
    numbers = {
        "bin width": width,
        "average share of a document in its own density": float((1 / mean_N).mean()),
        "deviation of the density / its mean": deviation,
        "largest density / smallest": float(mean_N.max() / mean_N.min()),
        "median standard error / density": float(np.median(density.error / mean_N)),
    }
    caption = (
        "How much densities differ, and how well they are known. Largest over smallest is how much likelier the first "
        "draw in proportion to 1 / density takes the loneliest document than the most crowded one."
    )
    evidence.numbers("density", numbers, caption)
    order = np.sort(mean_N)[np.linspace(0, len(mean_N) - 1, min(len(mean_N), 200)).round().astype(np.intp)]
    shares = np.linspace(0, 1, len(order))
    evidence.table("densities", {"share": shares, "density": order}, "Densities in ascending order.")
    figure = Figure(
        "Density", "densities", "line", "share", ("density",), "share of the documents", "documents near, itself too"
    )
    evidence.figure("densities", figure, "How many documents are near, from the loneliest to the most crowded one.")
    if deviation < LEAST_DEVIATION:
        cure = "use scorer.hashes_per_code=16" if hashes_per_code == 1 else "use scorer.width=auto"
        evidence.warn(
            f"densities deviate by {deviation:.1%} of their mean: drawing in proportion to 1 / density is nearly "
            f"uniform; {cure}"
        )
    elif hashes_per_code == 1:
        evidence.warn(
            "scorer.hashes_per_code=1, the published form: distant documents count nearly as much as near ones, and "
            "draws are close to uniform; use scorer.hashes_per_code=16"
        )
