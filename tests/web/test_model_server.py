"""A model behind our server, asked through our endpoint: the same answers as when it is asked directly."""

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
from windtunnel.web.model_server import application

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
        ("/completions", {"prompt": "a", "model": "other"}, "no model 'other'"),
        ("/completions", {"prompt": "a", "stream": True}, "stream"),
        ("/completions", {"prompt": "a", "presence_penalty": 0.5}, "presence_penalty"),
        ("/completions", {"prompt": "a", "max_tokens": "many"}, "max_tokens"),
        ("/completions", {"prompt": "a", "max_tokens": 1000}, "context of 64"),
        ("/completions", {"prompt": "a", "n": 0}, "n=0"),
        ("/completions", {"prompt": [[300]]}, "Token 300"),
        ("/completions", {"prompt": {"a": 1}}, "prompt must be"),
        ("/completions", {"prompt": "a", "logprobs": 5}, "logprobs=5"),
        ("/chat/completions", {"messages": "hi"}, "messages must be"),
    ],
)
def test_what_is_not_served_is_refused_by_name(url, path, body, word):
    answer = post(url, path, **body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]


def test_neutral_options_of_clients_are_taken(url):
    assert post(url, "/completions", prompt="a", presence_penalty=0, best_of=1, user="me").status_code == 200
    assert httpx.post(f"{url}/completions", content=b"{", timeout=20).status_code == 400
    assert httpx.get(f"{url}/models", headers={"host": "elsewhere.example"}).status_code == 400


def test_a_model_is_loaded_by_its_url(url, local):
    assert load(f"openai:speaker@{url}").generate(["the cat"], max_new_tokens=4, temperature=0.0)[0].text == (
        local.generate(["the cat"], max_new_tokens=4, temperature=0.0)[0].text
    )
