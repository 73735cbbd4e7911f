"""The errors a user may meet: each message is one sentence that names the thing, its value and the mend."""


class WindtunnelError(Exception):
    """A failure that is explained in one sentence; the command line prints it and exits with `exit_code`."""

    exit_code = 1


class UsageError(WindtunnelError):
    """The request itself cannot be understood or carried out: an unknown name, a value out of range."""

    exit_code = 2


class Unsupported(WindtunnelError):
    """A model lacks the capability asked for; the message names the backends that have it."""


class DataError(WindtunnelError):
    """A file or corpus cannot be read as what it should be: empty, binary, truncated, of another shape."""
