"""The page of `mnp matrix` in Chromium, read from disk and without a network: `make test-pages`."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.cli.objects import network, pod, policy
from tests.cli.test_matrix_forms import HOSTILE
from tests.cli.test_page import hostile_data, make_page

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "pages"
AXE = PICTURES / "node_modules" / "axe-core" / "axe.min.js"
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/policy.yaml"))


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # tests run as root
        yield started
        started.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open a page from disk, offline; errors of its script and refused loads fail the test."""
    opened, wrong = [], []

    def show_text(text, scheme="light"):
        path = tmp_path / "page.html"
        path.write_text(text, "utf-8")
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1100, "height": 800}, offline=True)
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    yield show_text
    for context in opened:
        context.close()
    assert wrong == []


@pytest.fixture
def several(mnp, examples):
    return mnp("matrix", examples / "multiple-selectors", "-o", "html").out


def signs(page):
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("[role=gridcell]")].map((cell) => {
             const row = cell.parentElement, head = cell.closest("table").tHead.rows[0];
             return [row.cells[0].textContent + " -> " + head.cells[cell.cellIndex].textContent, cell.textContent];
           }))"""
    )


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_the_page_has_the_answers_of_the_command(mnp, show, folder):
    page = show(mnp("matrix", folder, "-o", "html").out)
    page.get_by_label("Each pod by itself").check()
    page.get_by_label("Outside of the cluster").check()
    verdicts = {}
    for probe in json.loads(mnp("matrix", folder, "-o", "json", "--outside").out)["probes"]:
        verdicts.setdefault(f"{probe['from']} -> {probe['to']}", set()).add(probe["verdict"])
    expected = {pair: "±" if len(each) > 1 else "✓" if each == {"allowed"} else "✗" for pair, each in verdicts.items()}
    assert {pair: sign for pair, sign in signs(page).items() if sign != "·"} == expected


def test_pods_with_equal_answers_share_a_row(show, several):
    assert signs(show(several)) != {}
    assert "shop/guest (+1) -> shop/db" in signs(show(several))


def test_a_click_on_a_cell_shows_the_policies_that_decide(show, several):
    page = show(several)
    page.get_by_role("gridcell", name="shop/guest (+1) to shop/db: denied").click()
    text = page.locator("#reasons").inner_text()
    assert "isolated by MultiNetworkPolicy shop/db-allow-services" in text
    assert "shop/guest (+1): shop/guest, shop/trial" in text
    page.get_by_role("gridcell", name="shop/orders to shop/db: allowed").click()
    assert "allowed by MultiNetworkPolicy shop/db-allow-services ingress[0]" in page.locator("#reasons").inner_text()


def test_filters_narrow_the_matrix(show, several):
    page = show(several)
    page.get_by_label("Name or label").fill("shop/orders")
    assert list(signs(page)) == ["shop/orders -> shop/orders"]
    page.get_by_label("Name or label").fill("nothing like it")
    assert "Nothing matches the filters." in page.locator("#grid").inner_text()
    page.get_by_label("Name or label").fill("")
    page.locator("#port").select_option("tcp:5432")
    assert signs(page)["shop/guest (+1) -> shop/db"] == "✗"
    page.locator("#namespace").select_option("shop")
    page.locator("#network").select_option("shop/data")
    assert len(signs(page)) == 16


def test_everything_works_by_keyboard_alone(show, several):
    page = show(several)
    for _ in range(7):  # six filters, then the chosen tab
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-matrix"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "isolated by MultiNetworkPolicy shop/db-allow-services" in page.locator("#reasons").inner_text()
    page.locator("#tab-matrix").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#graph").is_visible()
    before = page.locator("#pairs li").count()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert 0 < page.locator("#pairs li").count() < before
    page.locator("#tab-graph").focus()
    page.keyboard.press("ArrowRight")
    assert "No policy protects ingress (4)" in page.locator("#exposure").inner_text()


def test_the_graph_has_an_arrow_for_each_allowed_pair(show, several):
    page = show(several)
    allowed = [pair for pair, sign in signs(page).items() if sign == "✓" and len(set(pair.split(" -> "))) == 2]
    page.get_by_role("tab", name="Graph").click()
    assert page.locator("#drawing path[marker-end]").count() == len(allowed)
    page.get_by_role("button", name="shop/db: show its pairs alone").click()
    lines = page.locator("#pairs li").all_inner_texts()
    assert lines
    assert all("shop/db" in line for line in lines)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_is_found(show, several, scheme):
    """axe-core, all its rules for WCAG 2.2 A and AA and its best practices; the pictures are for people."""
    page = show(several, scheme)
    page.get_by_label("Outside of the cluster").check()
    for tab in ("Matrix", "Graph", "Exposure"):
        page.get_by_role("tab", name=tab).click()
        if tab == "Matrix":
            page.locator("td.denied").first.click()
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"{tab.lower()}-{scheme}.png")
        page.evaluate(AXE.read_text())  # as the developer's console does, which no policy of the page concerns
        found = page.evaluate("axe.run()")
        wrong = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]]
        assert (tab, wrong) == (tab, [])
        assert found["passes"]


APPS, REPLICAS, PORTS = 50, 10, 10


def application(number):
    """Pods, and a policy that lets the pods of the next application in, on half of the ports."""
    labels, others = ({"app": f"app-{each % APPS:02}"} for each in (number, number + 1))
    ports = [{"name": f"p{port}", "containerPort": 8000 + port} for port in range(PORTS)]
    for replica in range(REPLICAS):
        made = pod(f"{labels['app']}-{replica}", labels=labels, networks="data")
        yield {**made, "spec": {"containers": [{"name": "main", "ports": ports}]}}
    rule = {"from": [{"podSelector": {"matchLabels": others}}], "ports": [{"port": f"p{port}"} for port in range(5)]}
    yield policy(labels["app"], podSelector={"matchLabels": labels}, ingress=[rule])


@pytest.fixture
def many(mnp, write):
    """500 pods in 50 applications with ten ports each."""
    config = {"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "subnet": "10.10.0.0/16"}}
    items = [network(**config), *(each for number in range(APPS) for each in application(number))]
    path = write("many.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return mnp("matrix", path, "-o", "html").out


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_500_pods_are_usable(show, many, scheme, figures):
    """Rows, a filter, a click and the graph, each within moments; the pictures are for people."""
    began = time.monotonic()
    page = show(many, scheme)
    assert len(signs(page)) == APPS * APPS
    opened = time.monotonic()
    page.screenshot(path=PICTURES / f"many-matrix-{scheme}.png")
    page.get_by_role("gridcell", name="demo/app-01-0 (+9) to demo/app-00-0 (+9): allowed on some ports or ways").click()
    assert "allowed by MultiNetworkPolicy demo/app-00 ingress[0]" in page.locator("#reasons").inner_text()
    page.get_by_role("tab", name="Graph").click()
    page.screenshot(path=PICTURES / f"many-graph-{scheme}.png")
    page.get_by_role("tab", name="Exposure").click()
    page.screenshot(path=PICTURES / f"many-exposure-{scheme}.png")
    page.get_by_role("tab", name="Matrix").click()
    page.get_by_label("Each pod by itself").check()
    page.screenshot(path=PICTURES / f"many-pods-{scheme}.png")
    page.get_by_label("Name or label").fill("app=app-07")
    assert len(signs(page)) == REPLICAS * REPLICAS
    page.screenshot(path=PICTURES / f"many-filtered-{scheme}.png")
    ended = time.monotonic()
    figures.append(f"page of 500 pods: opened in {opened - began:.1f} s, six views in {ended - opened:.1f} s")
    assert ended - began < 60


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_text_alone(show, text):
    page = show(make_page(hostile_data(text), text))
    page.get_by_label("Each pod by itself").check()  # they are alike
    for tab in ("Graph", "Exposure", "Matrix"):
        page.get_by_role("tab", name=tab).click()
    page.locator("td.denied").first.click()
    assert page.locator("script, img, iframe").count() == 2
    assert page.locator("#reasons table").count() == 1
