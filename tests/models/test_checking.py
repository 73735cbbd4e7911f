"""The check passes on every architecture, and each kind of broken map is caught."""

import json
from dataclasses import replace

import pytest
import torch

from tests.models.kinds import KINDS, model, original
from windtunnel.cli import main
from windtunnel.inference.cache import Cache
from windtunnel.laboratory.errors import Unsupported
from windtunnel.models import architectures, layout, pretrained
from windtunnel.models.checking import CHECKS, check
from windtunnel.models.interface import LanguageModel
from windtunnel.models.pretrained import Pretrained


def failed(subject):
    return {row.name for row in check(subject) if not row.passed}


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_passes(kind):
    subject = model(kind)
    rows = check(subject)
    assert not [row for row in rows if not row.passed]
    assert all(row.places for row in rows)
    assert len(rows) >= len(CHECKS)
    assert not subject.backend.taps


@pytest.mark.parametrize(
    ("kind", "change", "word"),
    [
        ("llama", {"middle": "input_layernorm"}, "sum of what is added"),
        ("gemma2", {"attention_added": None}, "sum of what is added"),
        ("gemma3_text", {"mlp_added": None}, "sum of what is added"),
        ("gpt2", {"final_normalization": "transformer.h.0.ln_1"}, "sum of what is added"),
        ("phi", {"parallel": lambda config: False, "middle": "input_layernorm"}, "sum of what is added"),
        ("gpt_neox", {"fused": "concatenated"}, "pattern times its values"),
        ("phi3", {"fused": "heads"}, "runs with its sites"),
        ("llama", {"projections": ("q_proj", "v_proj", "k_proj")}, "pattern times its values"),
        ("gpt2", {"mlp": "attn", "mlp_output": "c_proj"}, "sum of what is added"),
    ],
)
def test_a_broken_map_is_caught(kind, change, word, monkeypatch):
    broken = replace(architectures.ARCHITECTURES[kind], **change)
    monkeypatch.setitem(architectures.ARCHITECTURES, kind, broken)
    subject = LanguageModel(Pretrained(original(kind.removesuffix("_text"))), None, kind)
    assert any(word in name for name in failed(subject))


def test_a_site_that_never_fires_is_caught():
    subject = model("llama")
    subject.backend.sites.append("blocks.0.attn.hook_result")
    subject.backend.open = lambda tap, open_=subject.backend.open: (
        (lambda: None) if tap.name.endswith("hook_result") else open_(tap)
    )
    rows = {row.name: row for row in check(subject)}
    assert "never reached" in rows["every site fires"].fault
    assert not rows["the model runs with its sites in use"].passed  # nor can that site be written


def test_padding_that_shifts_positions_is_caught(monkeypatch):
    monkeypatch.setattr(layout, "_positions", lambda mask, _: torch.arange(mask.shape[1]).expand_as(mask) + 3)
    assert any("padding" in name for name in failed(model("gpt2")))


def test_attention_that_is_not_the_librarys_is_caught(monkeypatch):
    plain = pretrained.attend

    def without_scaling(*arguments, scale, **options):
        return plain(*arguments, scale=1.0, **options)

    monkeypatch.setattr(pretrained, "attend", without_scaling)
    assert any("original library" in name for name in failed(model("llama")))


def test_a_cache_that_forgets_is_caught(monkeypatch):
    end = Cache.end

    def forgetful(self):
        end(self)
        self.keys[0].zero_()

    monkeypatch.setattr(Cache, "end", forgetful)
    assert failed(model("ours_llama_like")) == {
        "token by token gives the same as all at once",
        "what sampling reports is what scoring finds",
    }


def test_a_model_without_sites_is_refused():
    module = original("llama")
    module.config.model_type = "unheard_of"
    module.other = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    with pytest.raises(Unsupported, match="no sites"):
        check(LanguageModel(Pretrained(module), None, "unheard"))


def test_half_precision_passes():
    subject = model("llama")
    subject.module.bfloat16()
    assert not failed(subject)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_the_command_prints_a_table_and_its_exit_code_says_whether_all_passed(tmp_path, capsys, monkeypatch):
    original("gpt2").save_pretrained(tmp_path / "model")
    code, out, _ = call(capsys, "check", tmp_path / "model", "--json")
    found = json.loads(out)
    assert (code, found["passed"]) == (0, True)
    broken = replace(architectures.ARCHITECTURES["gpt2"], middle="ln_1")
    monkeypatch.setitem(architectures.ARCHITECTURES, "gpt2", broken)
    code, out, _ = call(capsys, "check", tmp_path / "model")
    assert code == 1
    assert "FAIL" in out
    assert "hook_resid_mid" in out
