"""Shards share no row, and together they are the dataset."""

import pytest

from delt_exp.dataset.shard import Shard
from delt_exp.errors import ConfigError
from tests.helpers import ListDataset

TEN = ListDataset([str(n) for n in range(10)])


def texts(*shards, num_shards=4, max_documents=None):
    return [d.text for d in Shard(TEN, num_shards, shards, max_documents).documents()]


def test_document_i_is_in_shard_i_modulo_their_number():
    assert texts(0, 1, 2) == ["0", "1", "2", "4", "5", "6", "8", "9"]
    assert texts(3) == ["3", "7"]
    assert texts(3, 0, max_documents=3) == ["0", "3", "4"]
    assert texts(0, num_shards=1) == [str(n) for n in range(10)]


@pytest.mark.parametrize("shards", [(), (4,), (0, 0), (-1,)])
def test_shards_that_do_not_exist_are_refused(shards):
    with pytest.raises(ConfigError, match="shards"):
        Shard(TEN, 4, shards, None)
