"""A model behind a server that answers in every form that servers use."""

import hashlib
import json
import math

import pytest
from serving import serving
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from windtunnel.cli import main
from windtunnel.laboratory.errors import Unsupported, UsageError, WindtunnelError
from windtunnel.models.endpoint import connect

CHAT = {"message": {"content": "ab"}, "finish_reason": "stop"}
CHAT_FORM = {
    "content": [
        {
            "token": "a",
            "logprob": -0.5,
            "top_logprobs": [{"token": "a", "logprob": -0.5}, {"token": "c", "logprob": -1}],
        },
        {"token": "b", "logprob": None, "top_logprobs": [{"token": "?", "logprob": -3}, {"token": "?", "logprob": -2}]},
    ]
}
LEGACY = {"text": "ab", "finish_reason": "length"}
LEGACY_FORM = {
    "tokens": ["a", "b"],
    "token_logprobs": [-0.5, None],
    "top_logprobs": [{"a": -0.5, "c": -1}, {"?": -2}],
    "text_offset": [0, 1],
}
TOP = [{"a": -0.5, "c": -1.0}, {"?": -2.0}]


class Stub:
    def __init__(self):
        self.choice, self.asked, self.usage = LEGACY, [], {}

    async def answer(self, request):
        self.asked.append(await request.json())
        return JSONResponse(
            {"model": "m-2", "choices": [self.choice], "usage": {"total_tokens": 7, **self.usage}}
            if self.choice
            else {}
        )


@pytest.fixture(scope="module")
def server():
    stub = Stub()
    routes = [Route(f"/v1/{path}", stub.answer, methods=["POST"]) for path in ("completions", "chat/completions")]
    with serving(Starlette(routes=routes)) as stub.url:
        yield stub


@pytest.fixture
def stub(server):
    server.choice, server.asked, server.usage = LEGACY, [], {}
    return server


@pytest.fixture
def remote(stub):
    return connect(f"openai:m@{stub.url}", attempts=2, first_wait=0.01)


@pytest.mark.parametrize("form", [CHAT_FORM, LEGACY_FORM], ids=["chat", "legacy"])
@pytest.mark.parametrize("chat", [True, False], ids=["chats", "completions"])
def test_alternatives_come_in_either_form_from_either_path(stub, remote, form, chat):
    stub.choice = {**(CHAT if chat else LEGACY), "logprobs": form}
    ask = (
        (lambda **options: remote.chat([{"role": "user", "content": "?"}], **options))
        if chat
        else (lambda **options: remote.generate(["?"], **options)[0])
    )
    sample = ask(top_logprobs=2)
    assert (sample.text, sample.tokens, sample.top_logprobs) == ("ab", ["a", "b"], TOP)
    assert sample.token_logprobs[0] == -0.5
    assert math.isnan(sample.token_logprobs[1])
    assert stub.asked[0].items() >= ({"logprobs": True, "top_logprobs": 2} if chat else {"logprobs": 2}).items()
    assert ask().top_logprobs == []
    assert "top_logprobs" not in stub.asked[1]
    ask(top_logprobs=None)
    assert not {"logprobs", "top_logprobs"} & stub.asked[2].keys()


@pytest.mark.parametrize("given", [None, {}, {"content": None}, {"content": []}], ids=str)
def test_many_servers_give_no_log_probabilities(stub, remote, given):
    stub.choice = {**CHAT, "logprobs": given}
    sample = remote.chat([{"role": "user", "content": "?"}], top_logprobs=3)
    assert (sample.text, sample.token_logprobs, sample.tokens, sample.top_logprobs) == ("ab", [], [], [])


def test_who_only_thought_has_said_nothing(stub, remote):
    stub.choice = {"message": {"content": None}, "finish_reason": "length"}
    sample = remote.chat([{"role": "user", "content": "?"}])
    assert (sample.text, sample.stop_reason) == ("", "length")
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    "choice",
    [
        {"text": None},
        {"message": {}},
        {**LEGACY, "logprobs": ["a"]},
        {**LEGACY, "logprobs": {**LEGACY_FORM, "tokens": ["a"]}},
        {**LEGACY, "logprobs": {"content": [{"token": "a"}]}},
        "ab",
    ],
    ids=str,
)
def test_what_cannot_be_read_is_asked_for_again_and_then_explained(stub, remote, choice):
    stub.choice = choice
    with pytest.raises(WindtunnelError, match="failed 2 times, at last since the reply is not of the known form"):
        remote.generate(["?"])
    assert len(stub.asked) == 2


def test_every_answer_says_where_it_comes_from(stub, remote):
    first, second = remote.generate(["one", "two"], temperature=0.5, seed=[3, 4])
    assert first.provenance.url == f"{stub.url}/completions"
    assert (first.provenance.model, first.provenance.served) == ("m", "m-2")
    assert first.provenance.parameters == {"max_tokens": 64, "temperature": 0.5, "seed": 3, "logprobs": 1}
    assert second.provenance.prompt_sha256 == hashlib.sha256(b"two").hexdigest()
    turns = [{"role": "user", "content": "two"}]
    stub.choice = CHAT
    said = remote.chat(turns, seed=[3]).provenance
    assert said.prompt_sha256 == hashlib.sha256(json.dumps(turns, sort_keys=True).encode()).hexdigest()
    assert "messages" not in said.parameters


def test_sampling_options_reach_the_server(stub, remote):
    samples = remote.generate(["one", "two"], samples_per_prompt=2, min_p=0.1, top_k=5, top_p=0.9, stop=["."])
    assert len(samples) == 4
    assert sorted(body["prompt"] for body in stub.asked) == ["one", "one", "two", "two"]
    assert len({body["seed"] for body in stub.asked}) == 4
    assert stub.asked[0].items() >= {"min_p": 0.1, "top_k": 5, "top_p": 0.9, "stop": ["."]}.items()
    for wrong in ({"samples_per_prompt": 0}, {"stop": "."}, {"seed": [1]}, {"top_logprobs": -1}, {"min_p": 2}):
        with pytest.raises(UsageError):
            remote.generate(["one", "two"], **wrong)
    with pytest.raises(UsageError, match="at least 1 to score"):
        remote.score(["a"], ["b"], top_logprobs=0)
    with pytest.raises(Unsupported, match="behind a server"):
        remote.stream("a")


def test_a_prompt_is_scored_where_the_server_echoes_it(stub, remote):
    form = {
        "tokens": ["the", " c", "at", "!"],
        "token_logprobs": [None, -1.0, -2.0, -3.0],
        "top_logprobs": [None, {" c": -1.0}, {"at": -2.0, "ow": -0.5}, {"!": -3.0}],
        "text_offset": [0, 3, 5, 7],
    }
    stub.choice = {"text": "the cat!", "logprobs": form}
    score = remote.score(["the"], [" cat"], top_logprobs=2)[0]
    assert (score.token_logprobs, score.tokens, score.is_greedy) == ([-1.0, -2.0], [" c", "at"], False)
    assert score.top_logprobs == [{" c": -1.0}, {"at": -2.0, "ow": -0.5}]
    assert score.provenance.prompt_sha256 == hashlib.sha256(b"the cat").hexdigest()
    assert remote.score(["the"], [" c"])[0].is_greedy
    with pytest.raises(UsageError, match="first token of a text"):
        remote.score([""], ["the"])


def test_all_parts_of_a_last_character_are_scored(stub, remote):
    form = {
        "tokens": ["at", " Bogot", "\ufffd", "", "!"],
        "token_logprobs": [None, -1.0, -2.0, -4.0, -3.0],
        "top_logprobs": [None, {" Bogot": -1.0}, {"\ufffd": -2.0}, {"": -4.0}, {"!": -3.0}],
        "text_offset": [0, 2, 8, 9, 9],
    }
    stub.choice, stub.usage = {"text": "at Bogotá!", "logprobs": form}, {"completion_tokens": 1}
    assert remote.score(["at"], [" Bogotá"])[0].token_logprobs == [-1.0, -2.0, -4.0]


@pytest.mark.parametrize("logprobs", [None, CHAT_FORM, {**LEGACY_FORM, "top_logprobs": None}], ids=["0", "1", "2"])
def test_a_server_that_does_not_echo_is_found_out_by_one_request(stub, remote, logprobs):
    stub.choice = {**LEGACY, "logprobs": logprobs}
    with pytest.raises(Unsupported, match="does not echo"):
        remote.score(["the"] * 9, [" cat"] * 9)
    assert len(stub.asked) == 1


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_the_command_line_has_budgets_a_cache_and_alternatives(stub, capsys, tmp_path):
    stub.choice = {**LEGACY, "logprobs": CHAT_FORM}
    model, cache = f"openai:m@{stub.url}", tmp_path / "calls.jsonl"
    asking = ["generate", "a", "b", "c", "--model", model, "--cache", cache]
    code, _, err = call(capsys, *asking, "--max-requests", 2)
    assert code == 1
    assert "budget of 2 requests is spent; raise it and run again. Finished ones are kept" in err
    code, out, _ = call(capsys, *asking, "--max-requests", 1, "--json")
    assert code == 0
    assert len(stub.asked) == 3
    assert json.loads(out)[2]["provenance"]["served"] == "m-2"
    code, out, _ = call(capsys, *asking, "--top-logprobs", 2, "--max-tokens-total", 7000, "--json")
    assert json.loads(out)[0]["top_logprobs"] == TOP
    assert len(stub.asked) == 6
    code, out, _ = call(capsys, "generate", "z", "--model", model, "--no-logprobs")
    assert "logprobs" not in stub.asked[-1]
    code, _, err = call(capsys, "score", "a", *"bcdefghi", "--model", model, "--max-tokens-total", 7)
    assert (code, len(stub.asked)) == (1, 8)
    assert "does not echo" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "a", "--max-requests", "2"], "--max-requests is for a server's model"),
        (["generate", "a", "--top-logprobs", "2", "--json"], "--top-logprobs is for a server's model"),
        (["generate", "a", "--no-logprobs"], "--no-logprobs is for a server's model"),
        (["generate", "a", "--model", "openai:m@http://127.0.0.1:9/v1", "--top-logprobs", "2"], "without --json"),
        (["generate", "a", "--no-logprobs", "--top-logprobs", "2"], "contradict each other"),
        (["score", "a", "b", "--max-tokens-total", "2"], "--max-tokens-total is for a server's model"),
        (["score", "a", "b", "--cache", "x"], "--cache is for a server's model"),
        (["score", "a", "b", "--model", "openai:m@http://127.0.0.1:9/v1", "--device", "cuda"], "leave out --device"),
        (["generate", "a", "--model", "openai:m", "--max-requests", "0"], "greater than or equal to 1"),
        (["generate", "a", "--model", "openai:m"], "not of the form openai:MODEL@URL"),
    ],
)
def test_wrong_usage_is_explained(capsys, arguments, words):
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert words in err
