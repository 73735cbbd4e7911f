"""A model behind our server, asked through our endpoint: the same answers as when it is asked directly."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch
from serving import serving

from tests.models.shapes import perturbed
from tests.models.texts import TEMPLATE, bpe
from windtunnel.laboratory.errors import Unsupported, UsageError, WindtunnelError
from windtunnel.models.endpoint import connect
from windtunnel.models.interface import from_module, load
from windtunnel.models.transformer import TransformerConfig
from windtunnel.web.model_server import _certain, application

CONFIG = TransformerConfig(vocabulary=300, context=64, layers=1, width=16, heads=2, embedding_scale=1.0)
PROMPTS = ["the cat", "a dog sat on", "the mat and"]
CHAT = [{"role": "user", "content": "the cat"}]


@pytest.fixture(scope="module", params=["plain", "adds_bos"])
def local(request):
    tokenizer = bpe(adds_bos=True) if request.param == "adds_bos" else bpe(template=TEMPLATE)
    return from_module(perturbed(CONFIG), tokenizer, "speaker")


@pytest.fixture(scope="module")
def url(local):
    with serving(application(local, "speaker")) as base:
        yield base


@pytest.fixture
def remote(url):
    return connect(f"openai:speaker@{url}", attempts=1)


def test_samples_are_the_same_as_asked_directly(local, remote):
    direct = local.generate(PROMPTS, max_new_tokens=8, temperature=0.0)
    served = remote.generate(PROMPTS, max_new_tokens=8, temperature=0.0)
    assert [sample.text for sample in served] == [sample.text for sample in direct]
    for one, other in zip(served, direct, strict=True):
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-4)
        assert one.stop_reason == other.stop_reason
    assert remote.generate(PROMPTS, max_new_tokens=5, seed=5) == remote.generate(PROMPTS, max_new_tokens=5, seed=5)
    assert remote.generate(PROMPTS, max_new_tokens=5, seed=5) != remote.generate(PROMPTS, max_new_tokens=5, seed=6)


def test_scores_are_the_same_as_asked_directly(local, remote):
    after = [" sat on", " the mat", " the dog sat"]
    direct, served = local.score(PROMPTS, after), remote.score(PROMPTS, after)
    for one, other in zip(served, direct, strict=True):
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-4)
        assert one.is_greedy == other.is_greedy


def test_chats_are_the_same_as_asked_directly(local, remote):
    if getattr(local.tokenizer, "tokenizer", None) is None or not local.tokenizer.tokenizer.chat_template:
        with pytest.raises(WindtunnelError, match="no chat template"):
            remote.chat(CHAT)
        return
    options = {"max_new_tokens": 6, "temperature": 0.0}
    assert remote.chat(CHAT, **options).text == local.chat(CHAT, **options).text
    assert [s.text for s in remote.chats([CHAT] * 2, **options)] == [s.text for s in local.chats([CHAT] * 2, **options)]


def test_a_server_gives_nothing_of_the_inside(remote):
    for ask in (
        lambda: remote.module,
        lambda: remote.sites,
        lambda: remote.record("hook_embed"),
        lambda: remote.tokenize("a"),
        lambda: remote(torch.zeros(1, 1)),
    ):
        with pytest.raises(Unsupported, match="behind a server"):
            ask()
    with pytest.raises(UsageError, match="list of texts"):
        remote.generate([[1, 2]])
    with pytest.raises(UsageError, match="temperature"):
        remote.generate(["a"], temperature=-1.0)


def post(url, path, **body):
    return httpx.post(url + path, json={"model": "speaker", **body}, timeout=20)


def test_the_protocol(url):
    assert httpx.get(f"{url}/models").json()["data"][0]["id"] == "speaker"
    body = post(url, "/completions", prompt=["the cat", "a dog"], n=2, max_tokens=3, seed=1).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["completion_tokens"] <= 12
    scored = post(url, "/completions", prompt="the cat sat", max_tokens=0, echo=True, logprobs=1).json()["choices"][0]
    assert scored["text"] == "the cat sat"
    table = scored["logprobs"]
    assert table["token_logprobs"][0] is None
    assert "".join(table["tokens"]) == "the cat sat"
    assert [table["text_offset"][0], *table["top_logprobs"][:1]] == [0, None]
    ended = post(url, "/completions", prompt="the cat", max_tokens=30, temperature=0, stop=["a"]).json()["choices"][0]
    assert "a" not in ended["text"]


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/completions", {"prompt": "a", "stream": "yes"}, "stream='yes'"),
        ("/completions", {"prompt": "a", "stream": True, "temperature": -1}, "temperature must be 0 or more"),
        ("/completions", {"prompt": "a", "stream_options": {"include_usage": True}}, "with stream=true"),
        ("/completions", {"prompt": "a", "stop": 3}, "stop=3"),
        ("/completions", {"prompt": "a", "seed": 1.5}, "seed=1.5"),
        ("/completions", {"prompt": "a", "temperature": "hot"}, "temperature='hot'"),
        ("/completions", {"prompt": "a", "max_tokens": -1}, "max_tokens=-1"),
        ("/completions", {"prompt": "a", "max_tokens": True}, "max_tokens=True"),
        ("/completions", {"prompt": "a", "presence_penalty": 0.5}, "presence_penalty"),
        ("/completions", {"prompt": "a", "max_tokens": "many"}, "max_tokens"),
        ("/completions", {"prompt": "a", "max_tokens": 1000}, "context of 64"),
        ("/completions", {"prompt": "a", "n": 0}, "n=0"),
        ("/completions", {"prompt": [[300]]}, "Token 300"),
        ("/completions", {"prompt": {"a": 1}}, "prompt must be"),
        ("/completions", {"prompt": "a", "logprobs": 21}, "logprobs=21"),
    ],
)
def test_what_is_not_served_is_refused_by_name(url, path, body, word):
    answer = post(url, path, **body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"messages": "hi"}, "messages must be"),
        ({"messages": [{"content": "hi"}]}, "messages must be"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "must be of text"),
        ({"messages": [{**CHAT[0], "tool_calls": [1]}]}, "tool_calls of a turn"),
        ({"messages": CHAT, "top_logprobs": 2}, "needs logprobs=true"),
        ({"messages": CHAT, "tools": [{"type": "function"}]}, "tools="),
    ],
)
def test_a_chat_that_is_not_served_is_refused_by_name(local, url, body, word):
    if local.tokenizer.tokenizer.chat_template:
        answer = post(url, "/chat/completions", **body)
        assert answer.status_code == 400
        assert word in answer.json()["error"]["message"]


def test_errors_have_the_protocols_shape_status_and_code(url):
    wrong = post(url, "/completions", prompt="a", model="other")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "model_not_found")
    assert "no model 'other' here; this server has 'speaker'" in wrong.json()["error"]["message"]
    long = post(url, "/completions", prompt="a", max_tokens=1000)
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    for answer, status in (
        (httpx.get(f"{url}/models/other"), 404),
        (httpx.get(f"{url}/embeddings"), 404),
        (httpx.get(f"{url}/completions"), 405),
    ):
        assert answer.status_code == status
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert httpx.get(f"{url}/models/speaker").json()["id"] == "speaker"


def test_a_failure_of_the_model_is_told_without_its_insides(local):
    broken = from_module(perturbed(CONFIG), local.tokenizer, "speaker")
    broken.generate = lambda *_, **__: 1 / 0
    broken.stream = lambda *_, **__: iter([1 / 0])
    with serving(application(broken, "speaker")) as url:
        for stream in (False, True):
            answer = post(url, "/completions", prompt="a", stream=stream)
            assert answer.status_code == 500
            assert answer.json()["error"]["type"] == "server_error"
            assert "ZeroDivisionError" in answer.json()["error"]["message"]


def test_what_cannot_be_served_is_said_at_the_start(remote):
    for model in (from_module(perturbed(CONFIG)), remote):
        with pytest.raises(Unsupported, match="no tokenizer here"):
            application(model, "speaker")


def streamed(url, path, **body):
    with httpx.stream("POST", url + path, json={"model": "speaker", "stream": True, **body}, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def gathered(chunks, choice):
    """The choice that the chunks of a stream make up: a text, why it ended, and lists of log-probabilities joined."""
    own = [each for chunk in chunks for each in chunk["choices"] if each["index"] == choice]
    tables = [each["logprobs"] for each in own if each["logprobs"]]
    return {
        "text": "".join(each["text"] if "text" in each else each["delta"]["content"] for each in own),
        "finish_reason": own[-1]["finish_reason"],
        "stop_reason": own[-1]["stop_reason"],
        "logprobs": {key: [row for table in tables for row in table[key]] for key in tables[0]} if tables else None,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 40, "seed": 3},
        {"max_tokens": 40, "seed": 3, "n": 3, "stop": ["at", "the"]},
        {"max_tokens": 20, "temperature": 0, "stop": " "},
        {"max_tokens": 12, "seed": 3, "logprobs": 0},
        {"max_tokens": 12, "seed": 3, "n": 2, "logprobs": 3, "stop": "e"},
        {"max_tokens": 12, "seed": 3, "logprobs": 2, "echo": True},
        {"max_tokens": 0, "logprobs": 1, "echo": True},
        {"max_tokens": 5, "seed": 1, "echo": True},
    ],
    ids=str,
)
def test_a_stream_adds_up_to_the_whole_answer(url, body):
    whole = post(url, "/completions", prompt="the cat sat", **body).json()
    chunks = streamed(url, "/completions", prompt="the cat sat", stream_options={"include_usage": True}, **body)
    assert len(whole["choices"]) == body.get("n", 1)
    for choice in whole["choices"]:
        found = gathered(chunks, choice["index"])
        assert close(found, {key: choice[key] for key in found})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert whole["usage"]["prompt_tokens"] == chunks[-1]["usage"]["prompt_tokens"] < 12
    if body["max_tokens"] == 40 and "stop" not in body:
        assert len(chunks) > 5  # piece by piece


def close(one, other):
    """Equal but for rounding, all the way down."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=1e-4)


def test_alternatives_are_the_most_probable_tokens(local, url):
    ids = local.tokenize("the cat sat")
    table = post(url, "/completions", prompt=ids, max_tokens=3, temperature=0, echo=True, logprobs=3).json()
    table = table["choices"][0]["logprobs"]
    written = local.generate([ids], max_new_tokens=3, temperature=0)[0].token_ids
    with torch.no_grad():
        values, _ = local(ids + written[:-1])[0].log_softmax(-1).topk(3)
    assert table["top_logprobs"][0] is None
    for place, best in enumerate(values.tolist(), start=1):
        found = sorted(table["top_logprobs"][place].values(), reverse=True)
        assert found[0] == pytest.approx(best[0], abs=1e-4)
        assert len(found) in (2, 3, 4)  # two parts of characters may look alike; the chosen token may be a fourth
        assert table["token_logprobs"][place] <= found[0]
    for place in range(len(ids), len(ids) + len(written)):  # greedy
        assert table["token_logprobs"][place] == max(table["top_logprobs"][place].values())


def test_chats_have_alternatives_streams_and_parts(local, url):
    if not local.tokenizer.tokenizer.chat_template:
        return
    options = {"max_tokens": 6, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    whole = post(url, "/chat/completions", messages=CHAT, **options).json()["choices"][0]
    chunks = streamed(url, "/chat/completions", messages=CHAT, **options)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    found = gathered(chunks, 0)
    assert found["text"] == whole["message"]["content"]
    assert close(found["logprobs"], whole["logprobs"])
    for row in whole["logprobs"]["content"]:
        assert len(row["top_logprobs"]) == 2
        assert row["top_logprobs"][0]["logprob"] == row["logprob"]
        assert row["bytes"] is None or bytes(row["bytes"]).decode() == row["token"]
    parts = [{"role": "user", "content": [{"type": "text", "text": "the "}, {"type": "text", "text": "cat"}]}]
    again = post(url, "/chat/completions", messages=parts, **options).json()["choices"][0]
    assert again["message"] == whole["message"]
    unlimited = post(url, "/chat/completions", messages=CHAT, temperature=0).json()
    assert unlimited["usage"]["total_tokens"] <= CONFIG.context + 1


def test_streams_take_turns_and_do_not_disturb_each_other(url):
    bodies = [{"prompt": "the cat", "max_tokens": 40, "seed": seed} for seed in range(4)]
    alone = [gathered(streamed(url, "/completions", **body), 0) for body in bodies]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda body: gathered(streamed(url, "/completions", **body), 0), bodies))
    assert together == alone


def test_a_client_that_leaves_holds_nobody_up(url):
    for _ in range(3):
        body = {"model": "speaker", "prompt": "the cat", "max_tokens": 50, "stream": True}
        with httpx.stream("POST", f"{url}/completions", json=body, timeout=20) as answer:
            next(answer.iter_lines())
    assert post(url, "/completions", prompt="a", max_tokens=2).status_code == 200


def test_a_stop_string_is_never_sent_in_part():
    assert _certain("the ca", ["cat"]) == "the "
    assert _certain("the cab", ["cat"]) == "the cab"
    assert _certain("a \n", ["\n\n", "b"]) == "a "
    assert _certain("a \ufffd\ufffd", []) == "a "
    assert _certain("the cat", []) == "the cat"


def test_our_endpoint_tells_stop_strings_and_alternatives(local, remote):
    options = {"max_new_tokens": 20, "temperature": 0.0, "stop": ["a", "e"]}
    direct, served = local.generate(PROMPTS, **options), remote.generate(PROMPTS, top_logprobs=2, **options)
    assert [sample.stop_reason for sample in served] == [sample.stop_reason for sample in direct]
    for sample in served:
        assert len(sample.tokens) == len(sample.top_logprobs) == len(sample.token_logprobs)
        for chosen, top in zip(sample.token_logprobs, sample.top_logprobs, strict=True):
            assert chosen == max(top.values())


def test_neutral_options_of_clients_are_taken(url):
    assert post(url, "/completions", prompt="a", presence_penalty=0, best_of=1, user="me").status_code == 200
    assert httpx.post(f"{url}/completions", content=b"{", timeout=20).status_code == 400
    assert httpx.get(f"{url}/models", headers={"host": "elsewhere.example"}).status_code == 400


def test_a_model_is_loaded_by_its_url(url, local):
    assert load(f"openai:speaker@{url}").generate(["the cat"], max_new_tokens=4, temperature=0.0)[0].text == (
        local.generate(["the cat"], max_new_tokens=4, temperature=0.0)[0].text
    )
