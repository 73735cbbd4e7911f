import pytest
import torch

from tests.models.kinds import LLAMA_LIKE, model, tokens
from tests.models.shapes import perturbed
from tests.models.texts import TEMPLATE, bpe
from windtunnel.inference import scoring
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.interface import LanguageModel, from_module, row_seeds
from windtunnel.models.pretrained import Pretrained
from windtunnel.models.transformer import TransformerConfig

CONFIG = TransformerConfig(vocabulary=300, context=64, layers=1, width=16, heads=2, embedding_scale=1.0)


def speaking(**options) -> LanguageModel:
    return from_module(perturbed(CONFIG), bpe(**options), "speaker")


def test_texts_and_their_token_ids_give_the_same():
    subject = speaking()
    prompts, after = ["the cat", "a dog sat on"], [" sat", " the"]
    ids = [subject.tokenize(text) for text in prompts]
    assert subject.score(prompts, after) == subject.score(ids, [subject.tokenize(text) for text in after])
    assert subject.score([torch.tensor(ids[0])], [torch.tensor(subject.tokenize(" sat"))])[0].logprob < 0
    assert subject.generate(prompts, max_new_tokens=5) == subject.generate(ids, max_new_tokens=5)
    assert [subject.tokenizer.decode(i) for i in ids] == prompts
    assert torch.equal(subject(ids[0]), subject(torch.tensor(ids[:1])))


def test_two_first_tokens_are_refused():
    subject = speaking(adds_bos=True)
    assert subject.tokenize("the cat")[0] == subject.tokenizer.bos
    for call in (
        lambda: subject.tokenize("<s>the cat"),
        lambda: subject.generate(["<s>the cat"]),
        lambda: subject.score(["<s>the"], [" cat"]),
    ):
        with pytest.raises(UsageError, match="BOS"):
            call()
    assert speaking().tokenize("<s>the cat").count(0) == 1


def test_chat_writes_the_template_once():
    subject = speaking(adds_bos=True, template=TEMPLATE)
    messages = [{"role": "user", "content": "the cat"}]
    ids = subject.tokenizer.encode_chat(messages)
    assert subject.tokenizer.decode(ids) == "<s>user: the cat\nassistant:"
    assert ids.count(subject.tokenizer.bos) == 1
    assert subject.chat(messages, max_new_tokens=4, seed=3) == subject.generate([ids], max_new_tokens=4, seed=3)[0]


def test_what_a_model_lacks_is_unsupported_by_name():
    bare = model("ours_gpt2_like")
    for call in (lambda: bare.tokenize("x"), lambda: bare.generate(["x"]), lambda: bare.chat([])):
        with pytest.raises(Unsupported, match="ours_gpt2_like"):
            call()
    with pytest.raises(Unsupported, match="chat template"):
        speaking().chat([{"role": "user", "content": "x"}])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.generate("text"), "list"),
        (lambda m: m.score("text", ["a"]), "list"),
        (lambda m: m.score(["a"], ["b", "c"]), "as many"),
        (lambda m: m.score(["a"], [[1]]), "both"),
        (lambda m: m.generate(["a"], stop="."), "list of strings"),
        (lambda m: m.generate(["a"], seed=[1, 2]), "2 seeds"),
        (lambda m: m.generate([[300]]), "Token 300"),
        (lambda m: m(torch.zeros(3, dtype=torch.long)), r"\[batch, position\]"),
        (lambda m: m("text"), "ids of one text"),
        (lambda m: m([[1, 2], [3]]), "ids of one text"),
        (lambda m: m(torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 4).bool()), "mask"),
        (lambda m: m.generate(["a"], temperature=-1), "temperature"),
        (lambda m: m.generate(["a"], top_p=0.0), "top_p"),
        (lambda m: m.generate(["a"], top_k=0), "top_k"),
        (lambda m: m.generate(["a"], max_new_tokens=0), "max_new_tokens"),
        (lambda m: m.generate(["a"], stop=[""]), "empty"),
        (lambda m: m.generate([[]]), "BOS"),
        (lambda m: m.generate(["the cat sat"], max_new_tokens=65), "context of 64"),
        (lambda m: m.score([[1] * 40], [[1] * 40]), "context of 64"),
    ],
)
def test_misuse_is_one_clear_sentence(call, words):
    with pytest.raises(UsageError, match=words) as caught:
        call(speaking())
    assert "\n" not in str(caught.value)


def test_an_empty_prompt_begins_with_the_first_token():
    subject = speaking()
    assert subject.generate([""], max_new_tokens=6) == subject.generate([[0]], max_new_tokens=6)
    [scored] = subject.score([""], ["the cat"])
    assert scored == subject.score([[0]], [subject.tokenize("the cat")])[0]


def test_dropout_is_off_while_asked_and_as_it_was_afterwards():
    module = perturbed(CONFIG.model_copy(update={"dropout": 0.5})).train()
    subject = from_module(module)
    assert subject.score([[1, 2]], [[3, 4]]) == subject.score([[1, 2]], [[3, 4]])
    assert subject.generate([[1, 2]], max_new_tokens=3) == subject.generate([[1, 2]], max_new_tokens=3)
    assert module.training


def test_the_shape_is_told():
    shape = model("llama").shape
    assert (shape.layers, shape.width, shape.heads, shape.key_value_heads) == (2, 16, 4, 2)
    assert (shape.head_width, shape.vocabulary, shape.context) == (LLAMA_LIKE["head_dim"], 31, 32)


def test_row_seeds_differ_and_are_stable():
    assert len(set(row_seeds(0, 50)) | set(row_seeds(1, 50))) == 100
    assert row_seeds(7, 3) == row_seeds(7, 5)[:3]


def test_sites_work_during_generation():
    subject = LanguageModel(Pretrained(model("llama").module), None, "llama")
    plain = subject.generate([tokens()[0]], max_new_tokens=5, temperature=0)
    with subject.record("blocks.1.hook_resid_post") as activations:
        assert subject.generate([tokens()[0]], max_new_tokens=5, temperature=0) == plain
    assert activations["blocks.1.hook_resid_post"].shape == (1, 1, 16)  # the last pass: one new token
    with subject.intervene({"blocks.0.hook_resid_post": lambda x: -x}):
        assert subject.generate([tokens()[0]], max_new_tokens=5, temperature=0) != plain
    assert subject.generate([tokens()[0]], max_new_tokens=5, temperature=0) == plain


def test_sampling_and_scoring_are_held_against_each_other(monkeypatch):
    subject = speaking()
    assert subject.used == set()
    gap = subject.sampling_gap([[1, 2], [3]], max_new_tokens=4)
    assert 0 <= gap < 1e-4
    assert subject.used == {"generate", "score"}
    score = scoring.score

    def wrong(*arguments, **options):
        found = score(*arguments, **options)
        found[1].token_logprobs[2] += 0.25
        return found

    monkeypatch.setattr(scoring, "score", wrong)
    assert subject.sampling_gap([[1, 2], [3]], max_new_tokens=4) == pytest.approx(0.25, abs=1e-4)
