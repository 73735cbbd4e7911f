import gzip
import itertools

import pytest

from windtunnel.data.corpora import documents
from windtunnel.data.offline import LARGEST, Package, offline, packages
from windtunnel.laboratory.errors import UsageError

SENTENCE = "The {} of the house is measured before the wind is let in, and it is written down beside the others. "
HEAD = "# Copyright of everyone who wrote this file and the others beside it.\n"


def prose(word, sentences=4):
    return (SENTENCE.format(word) * sentences).strip()


def program(word):
    return f'{HEAD}"""{prose(word)}"""\n\n\ndef {word}(x):\n    """{prose(word + "s")}\n\n    x : int\n    """\n' + (
        f"    return {word!r} + x\n" * 10
    )


@pytest.fixture
def root(tmp_path):
    """Sixty packages of one file each, of which some are test, and what all of them share."""
    for number in range(60):
        folder = tmp_path / f"package{number}"
        folder.mkdir()
        (folder / "module.py").write_text(program(f"word{number}"))
        (folder / "LICENSE").write_text(f"{prose('licence')}\n\n{prose(f'addition {number}')}")
    return tmp_path


def both(language, root):
    return [list(offline(language, split, roots=[root])) for split in ("train", "test")]


def test_packages_are_divided_and_nothing_is_in_both(root):
    train, test = both("english", root)
    assert 0 < len(test) < len(train)
    assert len(train) + len(test) == 120
    paragraphs = [{p for text in texts for p in text.split("\n\n")} for texts in (train, test)]
    assert not paragraphs[0] & paragraphs[1]
    in_test = {package.name for package in packages([root]) if package.split == "test"}
    for number in range(60):
        place = test if f"package{number}" in in_test else train
        assert any(f"word{number} " in text for text in place)


def test_what_is_shared_comes_once_and_rather_in_test(root):
    train, test = both("english", root)
    assert "licence" not in " ".join(train)
    assert sum(text.count(prose("licence")) for text in test) == 1
    train, test = both("python", root)
    assert sum(HEAD in text for text in (*train, *test)) == 1
    assert HEAD in test[0]
    assert len(train) + len(test) == 60


def test_other_code_is_neither_python_nor_generated(root):
    for number in range(60):
        (root / f"package{number}" / "module.c").write_text(f"int f{number}(int x) {{ return x; }}\n" * 10)
    (root / "package1" / "copy.h").write_text((root / "package1" / "module.c").read_text())
    (root / "package1" / "short.js").write_text("f();")
    (root / "package1" / "minified.js").write_text("f();" * 1_000)
    train, test = both("code", root)
    assert len(train) + len(test) == 60
    assert len(test) > 0
    assert all(text.startswith("int f") for text in (*train, *test))


def test_the_order_is_fixed(root):
    assert both("english", root) == both("english", root)
    assert both("python", root) == both("python", root)


def test_a_copied_file_is_read_once(root):
    before = sum(map(len, both("python", root)))
    for number in range(60):
        copy = root / f"package{number}" / "copy.py"
        copy.write_text((root / "package7" / "module.py").read_text().replace("\n", "\n\n") + "\n")
    assert sum(map(len, both("python", root))) == before


def test_prose_is_kept_and_lists_tables_and_code_are_not(tmp_path):
    (tmp_path / "one").mkdir()
    kept = prose("wall")
    dropped = [
        "x : int\n    The x.",
        ">>> a = f(x)\n>>> print(a[0], b[1:2], {'c': 3}, d['e'] == f[g])",
        "| name | size | kind |\n|------|------|------|\n| a_b  | 12   | c_d  | and so on it goes |",
        "alpha_one beta_two gamma_three delta_four epsilon_five zeta_six eta_seven theta_eight",
    ]
    (tmp_path / "one" / "README.md").write_text("\n\n".join([*dropped, kept, *dropped]))
    (tmp_path / "one" / "notes.rst").write_text(prose("floor", 1))  # too short
    assert list(both("english", tmp_path)[packages([tmp_path])[0].split == "test"]) == [kept]


def test_docstrings_are_found_wherever_a_statement_can_stand(tmp_path):
    (tmp_path / "one").mkdir()
    words = ["module", "try", "handler", "orelse", "finally", "case", "nested", "asynchronous"]
    said = dict(zip(words, map(prose, words), strict=True))
    source = f'''"""{said["module"]}"""
try:
    def f():
        """{said["try"]}"""
except OSError:
    class A:
        """{said["handler"]}"""
else:
    while x:
        pass
    else:
        def g():
            """{said["orelse"]}"""
finally:
    with x:
        def h():
            """{said["finally"]}"""
match x:
    case 1:
        class B:
            """{said["case"]}"""
            if x:
                def i(self):
                    """{said["nested"]}"""
                    async def j():
                        """{said["asynchronous"]}"""
'''
    (tmp_path / "one" / "module.py").write_text(source)
    [text] = both("english", tmp_path)[packages([tmp_path])[0].split == "test"]
    assert set(text.split("\n\n")) == set(said.values())


def test_what_cannot_be_read_is_passed_over(root):
    folder = root / "package3"
    (folder / "binary.py").write_bytes(b'"""' + prose("zero").encode() + b'\0"""')
    (folder / "latin.py").write_bytes(f'"""{prose("caffè")}"""'.encode("latin-1"))
    (folder / "spoilt.py").write_text(f'"""{prose("spoilt")}"""\ndef f(:\n')
    (folder / "huge.md").write_text(prose("huge") + "\n" * LARGEST)
    (folder / "data.txt.gz").write_bytes(gzip.compress(prose("packed").encode()))
    (folder / "gone.md").symlink_to(folder / "nowhere")
    texts = " ".join(itertools.chain(*both("english", root)))
    assert not any(word in texts for word in ("zero", "caff", "spoilt", "huge", "packed"))


def test_files_belong_to_the_distribution_that_installed_them(tmp_path):
    (tmp_path / "wind").mkdir()
    (tmp_path / "wind" / "a.py").write_text("a = 1")
    information = tmp_path / "Tunnel-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Tunnel\nVersion: 1.0\n\n{prose('tunnel')}\n")
    (information / "RECORD").write_text("wind/a.py,,\nTunnel-1.0.dist-info/METADATA,,\n")
    (tmp_path / "alone.py").write_text("b = 2")
    found = {package.name: {file.name for file in package.files} for package in packages([tmp_path])}
    assert found == {"Tunnel": {"METADATA", "RECORD", "a.py"}, "alone": {"alone.py"}}
    texts = list(itertools.chain(*both("english", tmp_path)))
    assert texts == [prose("tunnel")]  # not the header before it


def test_about_a_tenth_is_test():
    names = [Package(f"package-{number}", ()) for number in range(2_000)]
    assert 0.07 < sum(package.split == "test" for package in names) / len(names) < 0.13


def test_novels_come_first_and_are_divided_by_file(tmp_path, monkeypatch):
    folder = tmp_path / "novels" / "corpus"
    folder.mkdir(parents=True)
    for number in range(40):
        (folder / f"{number}.txt.gz").write_bytes(gzip.compress(prose(f"novel{number}").encode()))
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    monkeypatch.setattr("windtunnel.data.offline._installed", lambda: [])
    train, test = (list(documents("offline-english", split=split)) for split in ("train", "test"))
    assert len(train) + len(test) == 40
    assert len(train) > len(test) > 0
    assert not set(train) & set(test)


@pytest.mark.parametrize("corpus", ["offline-english", "offline-python"])
def test_every_installation_has_some(corpus, monkeypatch):
    monkeypatch.delenv("WINDTUNNEL_DATA", raising=False)
    texts = list(itertools.islice(documents(corpus, split="test"), 40))
    assert len(texts) == 40
    assert sum(map(len, texts)) > 20_000


@pytest.mark.data
def test_the_novels_at_hand_are_read():
    first = next(documents("offline-english", split="test"))
    assert len(first) > 50_000


@pytest.mark.parametrize(("language", "split"), [("german", "train"), ("english", "validation")])
def test_an_unknown_name_is_one_sentence(language, split):
    with pytest.raises(UsageError, match="choose"):
        offline(language, split)
