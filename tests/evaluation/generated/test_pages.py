"""Pages show what models wrote as text, run nothing but their own script, and load nothing."""

import base64
import hashlib
import re

from windtunnel.evaluation.generated.page import write_page, write_rating_page
from windtunnel.evaluation.generated.records import STATEMENT, YES_NO, Record

HOSTILE = '<script>alert(1)</script> & "quotes" </style>'


def check_policy(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|unsafe|'self'", policy)
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert not re.search(r'\bon\w+="|style="|javascript:|src="(?!data:)|href=', page)


def test_the_page_shows_hostile_text_as_text_and_allows_only_itself(tmp_path):
    records = [
        Record("a", "b", "f", STATEMENT.format(statement=HOSTILE), YES_NO, 1, 0.9, topic=HOSTILE),
        Record("b", "b", "f", f"{HOSTILE}\n\nChoices:\n", (HOSTILE, "y"), 0, letters=True),
    ]
    summary = {"behaviour": HOSTILE, "counts": {"kept": 2}, "mean_confidence": None}
    write_page(records, summary, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    check_policy(page)
    assert "alert(1)</script>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5
    write_rating_page(records, HOSTILE, tmp_path / "rating.html")
    page = (tmp_path / "rating.html").read_text()
    check_policy(page)
    assert "alert(1)</script>" not in page
