"""The exceptions and the warning of ckpt_magic.

::

    CheckpointError
    ├── UsageError (ValueError)             an argument, an option or a name is wrong
    ├── FormatError (ValueError)            the bytes are not what they should be
    │   ├── DamagedError                    one of our files, broken
    │   └── NewerFormatError                written by a newer ckpt_magic
    ├── StoreError (OSError)                the folder is read-only, full, gone
    ├── StepNotFoundError (LookupError)     no such step, version, pipeline or name
    ├── NotPicklableError (TypeError)       a value that must be saved cannot be
    ├── UntrustedError (PermissionError)    nothing in this file may be unpickled
    │   ├── OtherKeyError                   signed by a key this user does not accept
    │   ├── TamperedError                   a known key, but the bytes were changed
    │   └── ForeignError                    a pickle that ckpt_magic did not write
    ├── OtherWriterError                    the file belongs to another notebook, kind or pipeline
    ├── CheckpointUnreadableError (ImportError)  a whole file that this environment cannot read
    ├── StaleError                          a stale checkpoint, and --stale error
    └── LostValueError (RuntimeError)       a placeholder was used
    CheckpointWarning (UserWarning)         a result is alive but its checkpoint is not as it should be
"""

from __future__ import annotations


class CheckpointError(Exception):
    """Base of every error that ckpt_magic raises on purpose."""


class UsageError(CheckpointError, ValueError):
    """An argument, an option or a name is wrong; nothing has run, unless only the run could show it."""


class FormatError(CheckpointError, ValueError):
    """The bytes of a file are not what they should be."""


class DamagedError(FormatError):
    """A checkpoint file is truncated or its bytes changed by accident."""


class NewerFormatError(FormatError):
    """A checkpoint file was written by a newer ckpt_magic."""


class StoreError(CheckpointError, OSError):
    """The folder is read-only, full or gone; the earlier checkpoint is whole."""


class StepNotFoundError(CheckpointError, LookupError):
    """No such step, version, pipeline or name; the message lists what there is."""


class NotPicklableError(CheckpointError, TypeError):
    """A value that has to be saved cannot be saved."""


class UntrustedError(CheckpointError, PermissionError):
    """The file is not signed with a key that this user accepts."""


class OtherKeyError(UntrustedError):
    """The file is someone else's checkpoint: its key is not known here."""


class TamperedError(UntrustedError):
    """The key is known but the signature does not fit: the bytes were changed."""


class ForeignError(UntrustedError):
    """An ordinary pickle that ckpt_magic did not write."""


class OtherWriterError(CheckpointError):
    """The file belongs to another notebook, another kind or another pipeline."""


class CheckpointUnreadableError(CheckpointError, ImportError):
    """A whole and trusted file that this environment cannot read; `name` is the module that is missing, if one is."""


class StaleError(CheckpointError):
    """A stale checkpoint would have been restored, and `--stale error` asks for an error."""


class LostValueError(CheckpointError, RuntimeError):
    """A value that could not be saved was used after a restore."""


class CheckpointWarning(UserWarning):
    """The result is alive, but its checkpoint is missing or incomplete."""
