"""Asking an endpoint: CPU time per request of our own, with 200 requests under way and every answer kept on disk.

A stub of an OpenAI-compatible server answers each chat after 50 ms. It is another process, so that its work is not
counted; the clock is the CPU time of this process, all of its threads included. Peers take turns, and the best of the
rounds counts. *By hand* is what one would write without a package: asyncio, one httpx client, a line of JSON per
answer. The `openai` client writes the same line, where it is installed. *Again* asks what is in the file already.

    python benchmarks/endpoint.py [--quick] [--json FILE]
"""

import argparse
import asyncio
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from windtunnel.models.endpoint import connect

PAUSE = 0.05
REPLY = {
    "id": "chat-1", "object": "chat.completion", "created": 0, "model": "stub",
    "choices": [{
        "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "The answer is four."},
        "logprobs": {"content": [
            {"token": token, "logprob": -0.25, "bytes": None, "top_logprobs": []}
            for token in ("The", " answer", " is", " four", ".")
        ]},
    }],
    "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", help="write the rows to this file")
    parser.add_argument("--stub", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stub:
        asyncio.run(serve_stub())
        return
    rounds = 1 if options.quick else 3
    print(f"httpx {httpx.__version__}, Python {platform.python_version()}, {platform.machine()}; stub of {PAUSE:g} s")
    print(f"{'under way':>9}  {'requests':>8}  {'peer':<16}  {'CPU ms per request':>18}  {'requests per second':>19}")
    rows = []
    stub = subprocess.Popen([sys.executable, __file__, "--stub"], stdout=subprocess.PIPE, text=True)
    try:
        assert stub.stdout is not None
        url = f"http://127.0.0.1:{int(stub.stdout.readline())}/v1"
        for concurrency, count in ((200, 2000), (32, 1000)):
            rows += report(url, concurrency, count, rounds)
    finally:
        stub.terminate()
        stub.wait()
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


async def serve_stub() -> None:
    """Answer every request after a pause, with as little work as possible; the port is printed."""
    body = json.dumps(REPLY).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
                await asyncio.sleep(PAUSE)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


Conversation = list[dict[str, str]]


def conversations(count: int) -> list[Conversation]:
    """Questions, no two alike."""
    return [
        [{"role": "user", "content": f"What is {number} plus {number}? Answer briefly."}] for number in range(count)
    ]


def ours(url: str, asked: list[Conversation], concurrency: int, file: Path) -> None:
    """All answers through `windtunnel`."""
    connect(f"openai:stub@{url}", cache=file, concurrency=concurrency).chats(asked, temperature=0.0)


def by_hand(url: str, asked: list[Conversation], concurrency: int, file: Path) -> None:
    """All answers with asyncio and httpx, a line of JSON each."""

    async def work() -> None:
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        turn = asyncio.Semaphore(concurrency)
        async with httpx.AsyncClient(limits=limits, timeout=60) as http:

            async def one(messages: Conversation) -> None:
                body = {"model": "stub", "messages": messages, "temperature": 0.0, "logprobs": True}
                async with turn:
                    reply = (await http.post(f"{url}/chat/completions", json=body)).json()
                    lines.write(json.dumps({"request": body, "reply": reply}) + "\n")
                    lines.flush()

            await asyncio.gather(*map(one, asked))

    with file.open("w") as lines:
        asyncio.run(work())


def openai_client(url: str, asked: list[Conversation], concurrency: int, file: Path) -> None:
    """All answers with the official client, a line of JSON each."""
    import openai

    async def work() -> None:
        turn = asyncio.Semaphore(concurrency)
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

            async def one(messages: Conversation) -> None:
                async with turn:
                    reply = await client.chat.completions.create(
                        model="stub", messages=messages, temperature=0.0, logprobs=True
                    )
                    lines.write(json.dumps({"request": messages, "reply": reply.model_dump()}) + "\n")
                    lines.flush()

            await asyncio.gather(*map(one, asked))

    with file.open("w") as lines:
        asyncio.run(work())


def report(url: str, concurrency: int, count: int, rounds: int) -> list[dict[str, object]]:
    """CPU milliseconds per request and requests per second of each peer, the best over rounds in turns."""
    peers: dict[str, Callable[[str, list[Conversation], int, Path], None]] = {"windtunnel": ours, "by hand": by_hand}
    if importlib.util.find_spec("openai") is not None:
        peers["openai"] = openai_client
    asked = conversations(count)
    best: dict[str, tuple[float, float]] = {}

    def timed(peer: str, act: Callable[[], None]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        found = (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count
        best[peer] = min(found, best.get(peer, found))

    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            for peer, act in peers.items():
                file = Path(directory) / f"{peer}.jsonl"
                timed(peer, lambda act=act, file=file: act(url, asked, concurrency, file))  # type: ignore[misc]
                assert len(file.read_text().splitlines()) == count
            timed("windtunnel again", lambda: ours(url, asked, concurrency, Path(directory) / "windtunnel.jsonl"))
    rows = []
    for peer, (cpu, wall) in best.items():
        print(f"{concurrency:>9}  {count:>8,}  {peer:<16}  {cpu * 1e3:>18.2f}  {1 / wall:>19,.0f}", flush=True)
        rows.append({"concurrency": concurrency, "requests": count, "peer": peer, "cpu_seconds": cpu, "seconds": wall})
    return rows


if __name__ == "__main__":
    main()
