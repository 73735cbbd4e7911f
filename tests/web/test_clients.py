"""Other people's clients against our server, over this machine's loopback only."""

import socket

import pytest
from serving import serving

from tests.models.shapes import perturbed
from tests.models.texts import TEMPLATE, bpe
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import TransformerConfig
from windtunnel.web.model_server import application

CONFIG = TransformerConfig(vocabulary=300, context=96, layers=1, width=16, heads=2, embedding_scale=1.0)
CHAT = [{"role": "user", "content": "the cat"}]


@pytest.fixture(scope="module")
def local():
    return from_module(perturbed(CONFIG), bpe(template=TEMPLATE), "speaker")


@pytest.fixture(scope="module")
def url(local):
    with serving(application(local, "speaker")) as base:
        yield base


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """Connections tried to other machines, which all fail."""
    tried = []
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(original):
        def checked(self, address):
            if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
                tried.append(address)
                raise OSError(f"{address} is not this machine")
            return original(self, address)

        return checked

    monkeypatch.setattr(socket.socket, "connect", guarded(connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    yield tried
    assert tried == []


@pytest.fixture
def client(url):
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as found:
        yield found


def test_the_official_client_chats(local, client):
    options = {"model": "speaker", "messages": CHAT, "max_tokens": 8, "temperature": 0}
    answer = client.chat.completions.create(**options, logprobs=True, top_logprobs=3, n=2)
    expected = local.chat(CHAT, max_new_tokens=8, temperature=0)
    for choice in answer.choices:
        assert choice.message.content == expected.text
        assert [row.logprob for row in choice.logprobs.content] == pytest.approx(expected.token_logprobs, abs=1e-4)
        assert all(len(row.top_logprobs) == 3 for row in choice.logprobs.content)
    assert answer.usage.completion_tokens == 2 * len(expected.token_ids)
    stream = client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content for chunk in chunks[:-1]) == expected.text
    assert chunks[-2].choices[0].finish_reason == answer.choices[0].finish_reason
    assert chunks[-1].usage.completion_tokens == len(expected.token_ids)
    seeded = {**options, "temperature": 1, "seed": 7}
    first, again = (client.chat.completions.create(**seeded).choices[0].message.content for _ in range(2))
    assert first == again


def test_the_official_client_completes(local, client):
    options = {"model": "speaker", "prompt": "the cat", "max_tokens": 12, "temperature": 0, "stop": ["a"]}
    answer = client.completions.create(**options, logprobs=2, echo=True).choices[0]
    expected = local.generate(["the cat"], max_new_tokens=12, temperature=0, stop=["a"])[0]
    assert answer.text == "the cat" + expected.text
    assert len(answer.logprobs.tokens) == len(answer.logprobs.top_logprobs) == len(answer.logprobs.text_offset)
    chunks = list(client.completions.create(**options, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == expected.text
    assert [model.id for model in client.models.list()] == ["speaker"]
    assert client.models.retrieve("speaker").id == "speaker"


def test_the_official_client_knows_our_errors(client):
    import openai

    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="other", messages=CHAT)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model="speaker", prompt="the cat", max_tokens=1000)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="presence_penalty=1"):
        client.completions.create(model="speaker", prompt="the cat", presence_penalty=1, stream=True)


def test_inspect_evaluates(local, url, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))  # where it keeps what it has not yet written to the log
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    inspect = pytest.importorskip("inspect_ai", reason="Inspect is not installed")
    pytest.importorskip("openai", reason="Inspect needs the official client")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    options = {"max_new_tokens": 8, "temperature": 0}
    questions = ["the cat", "a dog", "the log"]
    answers = [local.chat([{"role": "user", "content": question}], **options).text for question in questions]
    assert len(set(answers)) > 1
    dataset = [
        Sample(input=question, target=target)
        for question, target in zip(questions, [*answers[:2], "nothing like it"], strict=True)
    ]
    task = inspect.Task(dataset=dataset, solver=generate(), scorer=match(location="exact"))
    config = GenerateConfig(max_tokens=8, temperature=0, logprobs=True, top_logprobs=2, seed=1, stop_seqs=["\n\n"])
    model = get_model("openai-api/windtunnel/speaker", base_url=url, api_key="none", config=config)
    (log,) = inspect.eval(task, model=model, log_dir=str(tmp_path / "logs"), display="none")
    assert log.status == "success"
    assert [sample.output.completion for sample in log.samples] == answers
    assert all(sample.output.choices[0].logprobs.content for sample in log.samples)
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(2 / 3)
