"""A corpus in the store holds what its key names."""

import pytest

from delt_exp.corpus.stages import corpus_stage
from delt_exp.corpus.writing import WHOLE
from delt_exp.dataset.text import Text
from delt_exp.errors import DataError
from delt_exp.store.store import Store


class Growing(Text):
    """A file that another program still writes."""

    def documents(self):
        for document in super().documents():
            yield document
            with open(self.path, "a") as file:
                file.write("and more\n")


def test_a_file_that_changes_while_it_is_read_is_refused_and_read_when_it_is_written(tmp_path):
    (tmp_path / "texts.txt").write_text("first\nsecond\n")
    store = Store(tmp_path / "store", verify="size")
    settings = {"split": None, "name": "texts", "max_documents": 2, "unit": "line"}
    with pytest.raises(DataError, match=r"changed while they were read: .*texts\.txt"):
        corpus_stage(store, Growing(path=str(tmp_path / "texts.txt"), **settings), WHOLE)
    written = corpus_stage(store, Text(path=str(tmp_path / "texts.txt"), **settings), WHOLE)
    assert list(written.texts()) == ["first", "second"]
