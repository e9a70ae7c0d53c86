"""Datasets of the Hugging Face Hub."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from delt_exp.config.fields import NonNegativeInt, settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.records import Records
from delt_exp.errors import ConfigError, DataError, DeltError, DependencyError
from delt_exp.files import digest, tree_digest

_TIMEOUT_SECONDS = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}")


@settings
class Hub(Records):
    """One split of a dataset repository `repo`: owner/name, a local folder of data files, or one of `save_to_disk`.

    `config` and `revision` None stand for the repository's default configuration and newest commit. With `streaming`
    nothing is downloaded ahead; without, `datasets` keeps a copy under HF_HOME. `name` labels the documents,
    `max_documents` None means no limit. Code in a repository is never run.
    """

    VERSION: ClassVar[int] = 2

    repo: str
    config: str | None
    split: str
    revision: str | None
    streaming: bool
    name: str
    max_documents: NonNegativeInt | None

    def __post_init__(self) -> None:
        _ = self.template  # a wrong template is reported before the Hub is asked

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
        return digest(self.repo, self.config, self.split, self._commit)

    def _rows(self) -> Iterator[Document]:
        from datasets import load_dataset  # seconds that only Hub users pay

        row, repo = 0, str(self._folder) if self._folder else self.repo
        with self._readable_errors():
            rows = self._saved()
            if rows is None:
                rows = load_dataset(
                    repo, name=self.config, split=self.split, revision=self._revision, streaming=self.streaming
                )
            for row, record in enumerate(rows, start=1):
                yield self.template.render(record, f"{self.repo} ({self.split}): row {row}", self.name)
        if row == 0:
            raise DataError(f"{self.repo} ({self.split}) holds no record. Choose another split or configuration.")

    @property
    def _folder(self) -> Path | None:
        """The folder that `repo` names, if it names one."""
        folder = Path(self.repo).expanduser()
        return folder if folder.is_dir() else None

    def _saved(self) -> Any:
        """Return the rows of a folder that `save_to_disk` wrote, None for another; a single split has no name there."""
        folder = self._folder
        if folder is None or not any((folder / name).exists() for name in ("state.json", "dataset_dict.json")):
            return None
        from datasets import Dataset, load_from_disk

        saved = load_from_disk(str(folder))
        if isinstance(saved, Dataset):
            return saved
        if self.split not in saved:
            raise ConfigError(f"{folder} has no split {self.split!r}; it has {', '.join(saved)}: set split to one")
        return saved[self.split]

    @property
    def _revision(self) -> str | None:
        """What is read: the commit that was fingerprinted, where there was one, although the branch may have moved."""
        return self.revision if self._folder else vars(self).get("_commit", self.revision)

    @cached_property
    def _commit(self) -> str:
        if self._folder is not None:
            with self._readable_errors():
                return tree_digest(self._folder)
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
            if self._folder is not None and _tells_of_damage(error):
                raise self._damage(error) from error
            raise ConfigError(f"{what}: {error} Correct config, split or revision.") from error
        except Exception as error:  # the Hub is asked by several HTTP libraries, each with errors of its own
            if self._folder is not None:
                raise self._damage(error.__cause__ or error) from error
            raise DependencyError(
                f"{what} cannot be read: {type(error).__name__}: {error} Check the name and the network (unset "
                "HF_HUB_OFFLINE; log in for a gated one), point HF_HOME at a folder that holds a copy and set revision "
                "to its commit, or use a local file: train_dataset=jsonl train_dataset.path=FILE. A repository with a "
                "loading script may have data under revision=refs/convert/parquet."
            ) from error

    def _damage(self, error: BaseException) -> DataError:
        return DataError(
            f"{self._folder} cannot be read: {type(error).__name__}: {error}. Correct or replace the file, or read the "
            "files with train_dataset=jsonl, parquet or text, which names the file and the line."
        )


def _tells_of_damage(error: ValueError) -> bool:
    """Whether it is the data that are wrong, and not the name of a split or configuration."""
    import pyarrow as pa

    return isinstance(error, UnicodeDecodeError | json.JSONDecodeError | pa.ArrowInvalid)
