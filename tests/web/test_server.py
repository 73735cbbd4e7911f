"""The web application: lists runs, shows reports, leads nowhere else."""

import pytest
import tiny_study
from starlette.testclient import TestClient

from windtunnel.laboratory.errors import WindtunnelError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import execute
from windtunnel.web.server import application, runs_below, serve


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    execute(tiny_study.STUDY, out=folder / "done", settings={"stages": 2})
    with Run(folder / "deep" / "going") as run:
        identity = dict.fromkeys(("preset", "seed", "null", "model", "config"))
        run.open({**identity, "study": "tiny", "title": "<b>half</b>"})
        run.log(7, loss=1.5)
    (folder / "broken").mkdir()
    (folder / "broken" / "config.json").write_text("nonsense")
    (folder / "secret.html").write_text("outside")
    return folder


@pytest.fixture
def client(folder):
    return TestClient(application(folder), base_url="http://127.0.0.1:8265")


def test_the_front_page_lists_every_run_by_state(client, folder):
    states = {row["name"]: row["state"] for row in runs_below(folder)}
    assert states == {"done": "finished", "deep/going": "unfinished", "broken": "damaged"}
    page = client.get("/")
    assert page.status_code == 200
    assert 'href="/runs/done"' in page.text
    assert "&lt;b&gt;half&lt;/b&gt;" in page.text
    assert "loss 1.5" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_finished_run_shows_its_report(client):
    page = client.get("/runs/done")
    assert page.status_code == 200
    assert "A &lt;tiny&gt; study" in page.text


@pytest.mark.parametrize(
    "path", ["/runs/../secret.html", "/runs/%2e%2e/secret.html", "/runs//etc/passwd", "/runs/nope"]
)
def test_no_path_leads_out_of_the_folder(client, path):
    page = client.get(path)
    assert page.status_code == 404
    assert "outside" not in page.text


def test_an_unfinished_run_says_so(client):
    page = client.get("/runs/deep/going")
    assert page.status_code == 404
    assert "findings.json" in page.text


def test_a_request_for_another_host_is_refused(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(WindtunnelError, match="is not a folder"):
        serve(tmp_path / "missing", 8265)


def test_a_taken_port_is_one_sentence(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(WindtunnelError, match="not free"):
            serve(tmp_path, taken.getsockname()[1])
