"""The HTML page of `mnp matrix`, by a parser of HTML; tests/pages opens it in a browser."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given, seed, settings

from mnp_core.cli.page import make_page
from mnp_core.cli.page.data import page_data
from mnp_core.offline.reach import answers, grouped
from mnp_core.policy.reachability import Reachability
from mnp_core.testing.suites.differential.profile import SEED, in_proportion
from mnp_core.testing.suites.differential.strategies import clusters
from tests.cli.objects import A, B, network, policy
from tests.cli.test_matrix_forms import HOSTILE, hostile_answers
from tests.differential.test_reachability import SPECS, ends_of, objects_of

PROFILE = settings.get_profile("differential")


class Page(HTMLParser):
    """Elements with their attributes, and the texts of scripts and styles."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.titles, self._open = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag in {"script", "style"}:
            self.texts.append("")

    def handle_endtag(self, _tag):
        self._open = ""

    def handle_data(self, data):
        if self._open in {"script", "style"}:
            self.texts[-1] += data
        elif self._open in {"title", "h1"}:
            self.titles.append(data)

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def hostile_data(text):
    found = hostile_answers(text)
    ends = list({end.name: end for answer in found for end in (answer.source, answer.destination)}.values())
    reach = Reachability([end.party for end in ends])
    labels = {end.name: {text: text} for end in ends}
    return page_data(reach, ends, list(ends[0].ports), labels, frozenset())


HARMLESS = Page(make_page(hostile_data("web"), "web"))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_neither_markup_nor_script(text):
    data = hostile_data(text)
    page = Page(make_page(data, text))
    assert [name for name, _ in page.elements] == [name for name, _ in HARMLESS.elements]
    assert page.elements[2:] == HARMLESS.elements[2:]
    style, known, script = page.texts
    assert (style, script) == (HARMLESS.texts[0], HARMLESS.texts[2])
    assert json.loads(known) == json.loads(json.dumps(data))
    assert page.titles[:1] == (
        [text.encode("utf-8", "replace").decode()] if text and "\r" not in text else page.titles[:1]
    )


def test_nothing_but_the_pages_own_script_and_style_is_allowed():
    policy_text = next(each["content"] for each in HARMLESS.attributes("meta") if "http-equiv" in each)
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in HARMLESS.texts]
    assert policy_text.split("; ") == [
        "default-src 'none'",
        f"script-src {hashes[2]}",
        f"style-src {hashes[0]}",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_page_needs_nothing_else():
    text = make_page(hostile_data("web"), "web").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|\bsrc=|@import|url\((?!#)|\bfetch\(|XMLHttp|innerHTML|\beval\(|localStorage", text)
    assert not [a for _, attributes in HARMLESS.elements for a in attributes if a.startswith("on") or a == "style"]
    assert len(HARMLESS.texts[2]) < 20_000


def test_the_command_prints_the_page(mnp, tmp_path):
    path = tmp_path / "objects.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [network(), A, B, policy()]}))
    ended = mnp("matrix", path, "-o", "html")
    data = json.loads(Page(ended.out).texts[1])
    assert (ended.status, ended.err) == (0, "")
    assert [end["name"] for end in data["ends"]] == ["demo/a", "demo/b", "any IPv4 outside"]
    assert data["ends"][0]["labels"] == ["app=a"]


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(50))
@given(clusters())
def test_the_factors_of_the_page_make_the_matrix(cluster):
    """What the page's script looks up, looked up here."""
    objects = objects_of(cluster)
    ends = ends_of(objects)
    reach = Reachability([end.party for end in ends], objects.wires)
    data = page_data(reach, ends, SPECS, {}, frozenset())
    places = {
        (end["name"], place.get("interface"), place.get("address"), place["family"]): place
        for end in data["ends"]
        for place in end["places"]
    }
    for answer in answers(reach, ends, ends, lambda _: SPECS):
        sides = [(answer.source, answer.way.source), (answer.destination, answer.way.destination)]
        if "loopback" in {side.standing.value for _, side in sides}:
            continue
        source, destination = (places[key_of(end, side)] for end, side in sides)
        spec = SPECS.index(answer.spec)
        for side, own, peer, name in (
            (answer.way.source, source, destination, "egress"),
            (answer.way.destination, destination, source, "ingress"),
        ):
            if side.attachment is not None:
                reason = data["reasons"][data[name][f"{own[name]},{peer['signature']}"][spec]]
                assert (reason["allowed"], reason["standing"]) == (side.verdict.allowed, side.standing.value)
                assert reason["policies"] == list(map(str, side.verdict.policies))
    by_group = {}
    for end in data["ends"]:
        by_group.setdefault(end["group"], []).append(end["name"])
    assert sorted(by_group.values()) == sorted(list(map(str, group.members)) for group in grouped(reach, ends))


def key_of(end, side):
    if side.attachment is None:
        return str(end.name), None, None, side.address.version
    return str(end.name), side.attachment.interface, str(side.address), side.address.version
