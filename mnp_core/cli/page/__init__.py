"""The matrix as one HTML page that needs nothing else: it is read from disk, and asks no server.

Everything from manifests is in one block of JSON, which the script shows as text alone. A content security policy
allows this script and this style by their hashes, and nothing else.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files

_PLACE = re.compile(r"@@(\w+)@@")


def make_page(data: Mapping[str, object], title: str) -> str:
    """The page.

    Args:
        data: The result of `mnp_core.cli.page.data.page_data`.
        title: Of the page.
    """
    here = files(__package__ or "mnp_core.cli.page")
    style, script, page = (here.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js", "html"))
    values = {
        "POLICY": f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none';"
        " form-action 'none'",
        "TITLE": escape(title.encode("utf-8", "replace").decode()),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": json_block(data),
    }
    return _PLACE.sub(lambda match: values[match[1]], page)


def json_block(value: object) -> str:
    """JSON that stands in a script element: no character of it has a meaning in HTML."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
