"""A program in confinement: run as a script of its own by `code_execution`, never imported.

It reads one JSON object from its standard input, takes from itself what the kernel lets it give up, says through a pipe
what that was, runs the program, and at its end writes the word that says that the end was reached.
"""

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import sys
import traceback
from typing import Any

NEW_PROCESSES, NEW_NETWORK, NEW_USERS, NEW_MESSAGES = 0x20000000, 0x40000000, 0x10000000, 0x08000000
"""Flags of unshare(2): namespaces of process ids, network, users and System V messages."""

DIE_WITH_PARENT, NO_NEW_PRIVILEGES = 1, 38
"""Options of prctl(2)."""

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls of Landlock, the same on every architecture."""

EXECUTE, WRITE_FILE, READ_FILE, READ_DIRECTORY = 1, 2, 4, 8
"""File rights of Landlock that are given; there are more, up to the sixteenth."""


def main() -> None:
    """Confine this process and run the program."""
    order = json.loads(sys.stdin.buffer.read())
    report: int = order["report"]
    limit(order)
    confined = {"namespaces": isolate(), "files": restrict(order["folder"])}
    if not confined["namespaces"]:
        refuse_sockets()
    os.write(report, json.dumps(confined).encode() + b"\n")
    scope: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(order["program"], "program", "exec"), scope)  # noqa: S102
    except BaseException as error:
        traceback.print_exception(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        sys.stdout.flush()
        os._exit(1)
    sys.stdout.flush()
    os.write(report, order["word"].encode())
    os._exit(0)


def limit(order: dict[str, Any]) -> None:
    """Limits of this process and all that it starts."""
    cpu = int(order["cpu_seconds"])
    wanted = {
        "RLIMIT_CPU": (
            cpu,
            cpu + 1,
        ),  # a signal that tells what it was for, and a second later one that cannot be caught
        "RLIMIT_AS": (order["memory"], order["memory"]),
        "RLIMIT_FSIZE": (order["file_size"], order["file_size"]),
        "RLIMIT_NOFILE": (64, 64),
        "RLIMIT_NPROC": (64, 64),
        "RLIMIT_CORE": (0, 0),
    }
    for name, values in wanted.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):  # unknown here, or already lower
            resource.setrlimit(getattr(resource, name), values)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # too large a file is an error in the program, not its death


def isolate() -> bool:
    """Namespaces without a network and without other processes, where the kernel allows it.

    The first process of the new world only waits for the program: when it ends, the kernel ends whatever else the
    program has started. It is not the program itself, since a first process is deaf to the limit of processor time.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(NEW_USERS | NEW_NETWORK | NEW_PROCESSES | NEW_MESSAGES) != 0:
        return False
    for _ in range(2):
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)  # as shells say it
        library.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    return True


def restrict(folder: str) -> bool:
    """With Landlock, where the kernel has it: write in one folder only, and read only that and what Python needs."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    version = library.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return False
    files = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    network = 3 if version >= 4 else 0
    scopes = 3 if version >= 6 else 0
    rules = (ctypes.c_uint64 * 3)(files, network, scopes)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    handle = library.syscall(CREATE_RULESET, rules, ctypes.c_size_t(size), ctypes.c_uint(0))
    if handle < 0:
        return False
    read = EXECUTE | READ_FILE | READ_DIRECTORY
    allowed = {folder: files, "/dev/null": READ_FILE | WRITE_FILE, "/dev/urandom": READ_FILE}
    allowed |= dict.fromkeys((sys.base_prefix, "/usr", "/lib", "/lib64", "/etc/localtime"), read)
    for path, rights in allowed.items():
        if os.path.exists(path):
            rights &= files if os.path.isdir(path) else EXECUTE | READ_FILE | WRITE_FILE
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
            library.syscall(ADD_RULE, handle, ctypes.c_int(1), ctypes.c_char_p(rule), ctypes.c_uint(0))
            os.close(place)
    done = bool(library.syscall(RESTRICT_SELF, handle, ctypes.c_uint(0)) == 0)
    os.close(handle)
    return done


def refuse_sockets() -> None:
    """Where nothing else keeps the program from the network: a guard that a program can get around."""
    import socket

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("A program under test has no network.")

    for name in ("socket", "create_connection", "getaddrinfo", "socketpair", "create_server"):
        setattr(socket, name, refuse)


if __name__ == "__main__":
    main()
