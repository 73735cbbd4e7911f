"""A client against a server that fails in every way it can."""

import asyncio
import json
import subprocess
import sys
import threading
import time

import pytest
from serving import serving
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from windtunnel.inference.remote import KEY_VARIABLE, Budget, Client
from windtunnel.laboratory.errors import DataError, UsageError, WindtunnelError


class Stub:
    """Answers with what a test puts in line, then with an echo; remembers what it was asked."""

    def __init__(self):
        self.line, self.asked, self.headers = [], [], []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.pause = 0.0

    async def answer(self, request):
        body = await request.json()
        with self.lock:
            self.asked.append(body)
            self.headers.append(dict(request.headers))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            answer = self.line.pop(0) if self.line else None
        try:
            await asyncio.sleep(self.pause)
            return await answer(body) if answer else reply(body)
        finally:
            self.under_way -= 1


def reply(body):
    return JSONResponse({"choices": [{"text": f"re {body.get('prompt')}"}], "usage": {"total_tokens": 10}})


def status(code, headers=None, text='{"error": {"message": "not now"}}'):
    async def answer(body):
        return Response(text, status_code=code, headers=headers, media_type="application/json")

    return answer


async def hangs(body):
    await asyncio.sleep(5)


async def drips(body):
    async def slowly():
        for letter in '{"choices"':
            yield letter
            await asyncio.sleep(0.15)

    return StreamingResponse(slowly())


@pytest.fixture(scope="module")
def server():
    stub = Stub()
    with serving(Starlette(routes=[Route("/v1/completions", stub.answer, methods=["POST"])])) as url:
        stub.url = url
        yield stub


@pytest.fixture
def stub(server):
    server.line, server.asked, server.headers, server.pause, server.most_under_way = [], [], [], 0.0, 0
    return server


def client(stub, **options):
    return Client(stub.url, **{"first_wait": 0.01, "timeout": 0.6, "attempts": 3, **options})


def text(reply):
    return str(reply["choices"][0]["text"])


def ask(subject, *prompts):
    return subject.ask("/completions", [{"prompt": prompt} for prompt in prompts], text)


def test_answers_come_in_the_order_of_the_questions_and_many_at_once(stub):
    stub.pause = 0.05
    prompts = [str(number) for number in range(40)]
    began = time.monotonic()
    assert ask(client(stub, concurrency=20), *prompts) == [f"re {prompt}" for prompt in prompts]
    assert time.monotonic() - began < 40 * 0.05
    assert 1 < stub.most_under_way <= 20


@pytest.mark.parametrize(
    "failure",
    [
        status(429),
        status(429, {"retry-after": "0.05"}),
        status(503, text="<html>busy</html>"),
        status(500),
        status(200, text='{"choices": [{"te'),
        status(200, text='{"choices": []}'),
        status(200, text='{"answer": 42}'),
        status(200, text="null"),
        hangs,
        drips,
    ],
    ids=["429", "retry-after", "503", "500", "truncated", "empty", "schema", "null", "hangs", "drips"],
)
def test_a_failure_that_passes_is_tried_again(stub, failure):
    stub.line = [failure, failure]
    assert ask(client(stub), "a") == ["re a"]
    assert len(stub.asked) == 3


def test_the_server_says_how_long_to_wait(stub):
    stub.line = [status(429, {"retry-after": "0.4"})]
    began = time.monotonic()
    ask(client(stub), "a")
    assert time.monotonic() - began >= 0.4


def test_what_does_not_pass_is_one_sentence_and_loses_nothing(stub, tmp_path):
    stub.line = [status(500)] * 3
    cache = tmp_path / "calls.jsonl"
    with pytest.raises(WindtunnelError, match=r"1 of 3 .* failed 3 times.*not now.*run again") as caught:
        ask(client(stub, cache=cache, concurrency=1), "a", "b", "c")
    assert "\n" not in str(caught.value)
    assert len(cache.read_text().splitlines()) == 2
    stub.asked.clear()
    assert ask(client(stub, cache=cache), "a", "b", "c") == ["re a", "re b", "re c"]
    assert [body["prompt"] for body in stub.asked] == ["a"]  # failures are never replayed, answers always


def test_a_refusal_is_not_tried_again(stub):
    stub.line = [status(404)]
    with pytest.raises(WindtunnelError, match=r"refused a request with 404.*not now.*model's name"):
        ask(client(stub), "a")
    assert len(stub.asked) == 1


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(WindtunnelError, match=r"http://127.0.0.1:9/v1/completions failed 2 times.*connection failed"):
        ask(Client("http://127.0.0.1:9/v1", attempts=2, first_wait=0.01), "a")
    with pytest.raises(UsageError, match="no URL"):
        Client("localhost:8000")


def test_the_cache_survives_a_torn_line_and_tells_where_answers_come_from(stub, tmp_path):
    cache = tmp_path / "calls.jsonl"
    ask(client(stub, cache=cache), "a", "a")
    rows = [json.loads(line) for line in cache.read_text().splitlines()]
    assert len({row["key"] for row in rows}) == 2  # asked for twice: two samples
    assert rows[0]["request"] == {"prompt": "a"}
    assert rows[0]["url"] == stub.url
    assert {"time", "seconds", "reply"} <= rows[0].keys()
    with cache.open("a") as file:
        file.write('{"key": "cut sh')
    stub.asked.clear()
    assert ask(client(stub, cache=cache), "a", "a", "b") == ["re a", "re a", "re b"]
    assert [body["prompt"] for body in stub.asked] == ["b"]
    assert len(cache.read_text().splitlines()) == 3


def test_a_killed_run_pays_again_only_for_what_was_under_way(stub, tmp_path):
    stub.pause = 0.02
    cache = tmp_path / "calls.jsonl"
    script = (
        "import pathlib, sys; from windtunnel.inference.remote import Client\n"
        "asked = [{'prompt': str(number)} for number in range(300)]\n"
        "Client(sys.argv[1], cache=pathlib.Path(sys.argv[2]), concurrency=4).ask('/completions', asked, str)"
    )
    running = subprocess.Popen([sys.executable, "-c", script, stub.url, str(cache)])
    deadline = time.monotonic() + 30
    while (not cache.exists() or cache.read_bytes().count(b"\n") < 20) and time.monotonic() < deadline:
        time.sleep(0.005)
    running.kill()
    running.wait()
    time.sleep(0.1)  # what it had sent arrives
    kept = cache.read_bytes().count(b"\n")
    assert 20 <= kept < 300
    paid = len(stub.asked)
    stub.pause = 0.0
    prompts = [str(number) for number in range(300)]
    patient = client(stub, cache=cache, timeout=30.0)  # a busy machine is not what is tested here
    assert ask(patient, *prompts) == [f"re {prompt}" for prompt in prompts]
    assert len(stub.asked) - paid == 300 - kept
    assert paid - kept <= 4


def test_budgets_stop_and_keep_what_is_finished(stub, tmp_path):
    cache = tmp_path / "calls.jsonl"
    with pytest.raises(WindtunnelError, match="budget of 2 requests"):
        ask(client(stub, cache=cache, budget=Budget(max_requests=2), concurrency=1), *"abcd")
    assert len(stub.asked) == 2
    budget = Budget(max_tokens=20)
    with pytest.raises(WindtunnelError, match="budget of 20 tokens"):
        ask(client(stub, cache=cache, budget=budget, concurrency=1), *"abcdefg")
    assert budget.tokens == 20
    assert len(stub.asked) == 4


def test_the_key_is_sent_and_never_written(stub, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-very-secret")
    stub.line = [status(401), status(500)]
    cache = tmp_path / "calls.jsonl"
    subject = client(stub, cache=cache)
    with pytest.raises(WindtunnelError) as caught:
        ask(subject, "a")
    ask(subject, "b")
    assert stub.headers[0]["authorization"] == "Bearer sk-very-secret"
    assert "secret" not in str(caught.value) + repr(subject) + cache.read_text()


@pytest.mark.parametrize("code", [200, 401, 500])
def test_a_key_that_the_server_quotes_is_struck_out(stub, tmp_path, monkeypatch, caplog, code):
    monkeypatch.setenv(KEY_VARIABLE, "sk-very-secret")
    caplog.set_level("DEBUG")
    quoting = '{"error": {"message": "sk-very-secret is no key"}, "choices": [{"text": "sk-very-secret"}]}'
    stub.line = [status(code, text=quoting)] * 3
    cache = tmp_path / "calls.jsonl"
    said = ""
    try:
        ask(client(stub, cache=cache), "a")
        said = cache.read_text()
    except WindtunnelError as error:
        said = str(error)
    assert f"[{KEY_VARIABLE}]" in said
    assert "secret" not in said + caplog.text


@pytest.mark.parametrize("key", ["sk-very\nsecret", "sk very secret", "sk-vérysecret"])
def test_a_key_that_cannot_be_sent_is_not_quoted_either(stub, monkeypatch, key):
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(UsageError, match=f"{KEY_VARIABLE} holds a character") as caught:
        ask(client(stub), "a")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(KEY_VARIABLE, "sk-good\n")  # as `cat` leaves it
    ask(client(stub), "a")
    assert stub.headers[-1]["authorization"] == "Bearer sk-good"


def test_a_cache_that_is_none_is_named_and_a_reply_read_otherwise_is_asked_for_anew(stub, tmp_path):
    with pytest.raises(UsageError, match="is a directory"):
        client(stub, cache=tmp_path)
    other = tmp_path / "other.jsonl"
    other.write_text('{"step": 1}\n')
    with pytest.raises(DataError, match="no file of finished calls"):
        client(stub, cache=other)
    with pytest.raises(UsageError, match="concurrency must be at least 1"):
        client(stub, concurrency=0)
    cache = tmp_path / "calls.jsonl"
    ask(client(stub, cache=cache), "a")
    subject = client(stub, cache=cache)
    with pytest.raises(WindtunnelError, match="known form"):
        subject.ask("/completions", [{"prompt": "a"}], lambda reply: float(text(reply)))
    assert len(stub.asked) == 1 + 3
    assert ask(subject, "a") == ["re a"]
    assert len(stub.asked) == 4


def test_hundreds_under_way_take_a_connection_each(stub):
    stub.pause = 0.3
    prompts = [str(number) for number in range(150)]
    assert ask(client(stub, concurrency=150, timeout=20), *prompts) == [f"re {prompt}" for prompt in prompts]
    assert stub.most_under_way > 100


def test_it_works_where_an_event_loop_runs_already(stub):
    async def notebook():
        return ask(client(stub), "a")

    assert asyncio.run(notebook()) == ["re a"]
