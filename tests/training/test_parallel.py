"""Two processes give the loss curve of one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training import small

from windtunnel.laboratory.errors import WindtunnelError
from windtunnel.models.transformer import Transformer
from windtunnel.training import parallel
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_give_the_loss_curve_of_one(tmp_path, how):
    config = small.CONFIG.model_copy(update={"accumulation": 2})
    alone = train(small.model(), next_token, small.source(), config)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(SCRIPT)]
    subprocess.run([*command, how, str(tmp_path)], check=True, timeout=200, capture_output=True)
    together = json.loads((tmp_path / "losses.json").read_text())
    np.testing.assert_allclose(together["straight"], alone.losses, rtol=1e-5)
    np.testing.assert_allclose(together["resumed"], alone.losses, rtol=1e-5)
    kept = Transformer.from_directory(tmp_path / "run" / "checkpoints" / "step-00000012")
    for name, value in alone.model.state_dict().items():
        np.testing.assert_allclose(kept.state_dict()[name], value, atol=1e-4)


def test_distributing_without_a_process_group_is_one_sentence(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(WindtunnelError, match="torchrun"):
        parallel.distribute(small.model(), "ddp")
    with pytest.raises(WindtunnelError, match="torchrun"):
        parallel.start()
