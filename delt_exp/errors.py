"""What can go wrong for a user: every message says what, where, and the cure."""


class DeltError(Exception):
    """Base of all errors a user can cause and cure; shown as one message, without a stack trace."""


class ConfigError(DeltError):
    """A setting has a value that is not allowed."""


class DataError(DeltError):
    """A file or a corpus cannot be used as it is."""


class DivergedError(DeltError):
    """A computation gives numbers that are not finite, mostly because of a learning rate that is too high."""


class DependencyError(DeltError):
    """An optional package, a model or a network resource is missing."""


class StoreError(DeltError):
    """The output folder or the store cannot be read or written."""
