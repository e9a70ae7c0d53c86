"""Datasets of the Hugging Face Hub."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import ClassVar

from delt_exp.dataset.base import Document
from delt_exp.dataset.conversation import RecordTemplate, record_template
from delt_exp.dataset.files import check_limit, content_hash
from delt_exp.errors import ConfigError, DataError, DeltError, DependencyError
from delt_exp.files import digest

_TIMEOUT_SECONDS = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Hub:
    """One split of a dataset repository `repo` (owner/name, or a local folder of data files).

    `config` and `revision` None stand for the repository's default configuration and newest commit. With `streaming`
    nothing is downloaded ahead; without, `datasets` keeps a copy under HF_HOME. `text` and `prompt` are templates over
    the fields, `name` labels the documents, `max_documents` None means no limit. Code in a repository is never run.
    """

    VERSION: ClassVar[int] = 1

    repo: str
    config: str | None
    split: str
    revision: str | None
    streaming: bool
    text: str
    prompt: str | None
    messages: str | None
    name: str
    max_documents: int | None

    def __post_init__(self) -> None:
        check_limit("max_documents", self.max_documents)
        _ = self._template  # a wrong template is reported before the Hub is asked

    @cached_property
    def _template(self) -> RecordTemplate:
        return record_template(self.text, self.prompt, self.messages)

    def documents(self) -> Iterator[Document]:
        """Yield the rows as documents.

        Raises DependencyError without network and without a cached copy, ConfigError for a wrong configuration or
        split, DataError with the row (from 1) for a missing field or one that is not text.
        """
        return islice(self._rows(), self.max_documents)

    def fingerprint(self) -> str:
        """Return a hash of repository, configuration, split and commit; a local folder counts by its contents.

        Asks the Hub for the commit unless `revision` is a full commit hash; reads none of the data. Raises
        DependencyError without network, ConfigError for an unknown repository or revision.
        """
        return digest(self.repo, self.config, self.split, self._commit())

    def _rows(self) -> Iterator[Document]:
        from datasets import load_dataset  # seconds that only Hub users pay

        row = 0
        with self._readable_errors():
            rows = load_dataset(
                self.repo, name=self.config, split=self.split, revision=self.revision, streaming=self.streaming
            )
            for row, record in enumerate(rows, start=1):
                yield self._template.render(record, f"{self.repo} ({self.split}): row {row}", self.name)
        if row == 0:
            raise DataError(f"{self.repo} ({self.split}) holds no record. Choose another split or configuration.")

    def _commit(self) -> str:
        if Path(self.repo).is_dir():
            return content_hash(sorted(file for file in Path(self.repo).rglob("*") if file.is_file()))
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        from huggingface_hub import HfApi

        with self._readable_errors():
            return str(HfApi().dataset_info(self.repo, revision=self.revision, timeout=_TIMEOUT_SECONDS).sha)

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        what = f"Hub dataset {self.repo} (config={self.config}, split={self.split}, revision={self.revision})"
        try:
            yield
        except DeltError:
            raise
        except ValueError as error:
            raise ConfigError(f"{what}: {error} Correct config, split or revision.") from error
        except Exception as error:  # several HTTP libraries are behind the Hub, each with errors of its own
            raise DependencyError(
                f"{what} cannot be read: {type(error).__name__}: {error} Check the name and the network (unset "
                "HF_HUB_OFFLINE; log in for a gated one), point HF_HOME at a folder that holds a copy and set revision "
                "to its commit, or use a local file: train_dataset=jsonl train_dataset.path=FILE. A repository with a "
                "loading script may have data under revision=refs/convert/parquet."
            ) from error
