"""A corpus that tests of studies share."""

import numpy as np
import pytest


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A few made-up packages in place of the installed ones."""
    words = [f"{a}{b}" for a in ("wind", "stone", "air", "glass", "model", "lift") for b in ("", "y", "ed", "ing", "s")]
    for number in range(60):
        folder = tmp_path / "packages" / f"package{number}"
        folder.mkdir(parents=True)
        draw = np.random.default_rng(number)
        prose = [" ".join(draw.choice(words, 60)) + "." for _ in range(25)]
        (folder / "README.md").write_text("\n\n".join(prose))
        (folder / "code.py").write_text("".join(f"def f{draw.integers(10**6)}():\n    return 1\n" for _ in range(100)))
    monkeypatch.setattr("windtunnel.data.offline._installed", lambda: [tmp_path / "packages"])
    monkeypatch.delenv("WINDTUNNEL_DATA", raising=False)
