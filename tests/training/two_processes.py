"""Run under torchrun: trains once straight, and once stopped and resumed; process 0 writes both loss curves."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from training import small

from windtunnel.laboratory.run import Run
from windtunnel.training import parallel
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

torch.set_num_threads(1)
how, directory = sys.argv[1], Path(sys.argv[2])
config = small.CONFIG.model_copy(update={"accumulation": 2})
processes = parallel.start()
straight = train(small.model(), next_token, small.source(), config, distribute=how)


class Stops:
    vocabulary, context = 16, 16

    def rows(self, start, count):
        if start >= 8 * 8:
            raise KeyboardInterrupt
        return small.source().rows(start, count)


try:
    train(small.model(), next_token, Stops(), config, distribute=how, run=Run(directory / "run"))
except KeyboardInterrupt:
    parallel.wait()
resumed = train(small.model(), next_token, small.source(), config, distribute=how, run=Run(directory / "run"))
if processes.rank == 0:
    (directory / "losses.json").write_text(json.dumps({"straight": straight.losses, "resumed": resumed.losses}))
torch.distributed.destroy_process_group()
