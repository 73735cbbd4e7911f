"""A process killed at random moments, started again each time, ends with every sample, asked once but for a chunk."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from serving import serving
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from windtunnel.evaluation.log import read_records
from windtunnel.evaluation.results import Results

SCRIPT = Path(__file__).parent / "interrupted.py"
KILLS = 5


def start(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def kill_when(process, reached, moment):
    """Kill a process a moment after something is reached."""
    deadline = time.monotonic() + 60
    while not reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    return process.returncode == -signal.SIGKILL


def without_times(results):
    return results.counts, results.records, results.header["prompts_sha256"], results.metric()


def test_a_mock_is_asked_again_only_for_the_chunks_that_were_under_way(tmp_path):
    count, chunk = 240, 4
    finish(start(tmp_path / "whole", count, chunk, tmp_path / "asked-whole"))
    asked = tmp_path / "asked"
    asked.touch()
    draw = random.Random(0)
    killed = 0
    for place in sorted(draw.sample(range(10, count - 30), KILLS)):
        process = start(tmp_path / "killed", count, chunk, asked)
        killed += kill_when(process, lambda place=place: asked.read_text().count("\n") >= place, 0.02 * draw.random())
        finished = read_records(tmp_path / "killed")
        assert {"output", "mark"} <= min(finished.values(), key=len).keys()
    assert killed == KILLS
    finish(start(tmp_path / "killed", count, chunk, asked))
    before, after = Results.load(tmp_path / "whole"), Results.load(tmp_path / "killed")
    assert without_times(after) == without_times(before)
    times = Counter(asked.read_text().splitlines())
    assert len(times) == count
    assert sum(times.values()) - count <= KILLS * chunk
    lines = (tmp_path / "killed" / "samples.jsonl").read_text().splitlines()
    assert len(lines) == count


class Server:
    """Counts what it has answered, and takes a moment over it."""

    def __init__(self):
        self.answered = Counter()

    async def answer(self, request):
        asked = await request.json()
        await asyncio.sleep(0.02)
        self.answered[asked["prompt"]] += 1
        text = f"{asked['prompt']} {asked['seed']}"
        return JSONResponse({"model": "m", "choices": [{"text": text, "finish_reason": "stop"}]})


def test_a_server_is_asked_again_only_for_what_was_in_flight(tmp_path):
    count, chunk, connections = 600, 100, 32
    server = Server()
    with serving(Starlette(routes=[Route("/v1/completions", server.answer, methods=["POST"])])) as url:
        draw = random.Random(1)
        killed = 0
        for place in sorted(draw.sample(range(20, count - 100), KILLS)):
            process = start(tmp_path, count, chunk, f"openai:m@{url}")
            killed += kill_when(process, lambda place=place: server.answered.total() >= place, 0.02 * draw.random())
        assert killed == KILLS
        finish(start(tmp_path, count, chunk, f"openai:m@{url}"))
    results = Results.load(tmp_path)
    assert results.counts == {"planned": count, "scored": count, "refused": 0, "failed": 0, "unasked": 0}
    assert [record["output"]["text"].rpartition(" ")[0] for record in results.records] == [
        f"prompt {number}" for number in range(count)
    ]
    assert len(server.answered) == count
    assert server.answered.total() - count <= KILLS * connections
