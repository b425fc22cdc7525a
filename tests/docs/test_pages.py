"""The pages of docs/ are correct: commands are run, files and values are read by their real readers."""

import importlib.util
import json
import re
import shlex
import tomllib
from html import unescape

import pytest
import yaml

import mnp_core.model
from mnp_core.errors import InputError
from mnp_core.model import Reason
from mnp_core.settings import parse_settings
from mnp_lab.expectations import parse_expectations
from tests.docs.fences import DOCS, PAGES, ROOT, TUTORIAL, fences, lines

FENCES = [fence for page in PAGES for fence in fences(page)]
LANGUAGES = {"console", "json", "python", "sh", "text", "toml", "yaml"}


def name_of(page):
    return str(page.relative_to(ROOT))


def of(*languages):
    chosen = [fence for fence in FENCES if fence.language in languages]
    return pytest.mark.parametrize("fence", chosen, ids=str)


def in_table(page, column=1):
    """The code in the first cell of each row."""
    cells = [line.split("|")[column] for line in (DOCS / page).read_text().splitlines() if line.startswith("|")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.fixture
def folder(tmp_path, monkeypatch, mnp):
    """A copy of the checkout with the page's files in it; its labs are its own, and go with it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    yield tmp_path
    if (tmp_path / "run").exists():
        mnp("lab", "down", "--all")


@pytest.mark.root
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```sh\n" in page.read_text() and page != TUTORIAL], ids=name_of
)
def test_commands_of_a_page_print_its_output(page, folder, mnp):
    for fence in fences(page):
        if fence.title:
            (folder / fence.title).parent.mkdir(exist_ok=True)
            (folder / fence.title).write_text(fence.text)
        if fence.language == "sh":
            run(fence, mnp)


def run(fence, mnp):
    out = ""
    for command in fence.commands:
        if command == ". .venv/bin/activate":
            continue
        program, *arguments = shlex.split(command)
        assert program == "mnp", f"{fence}: only mnp is run here; call it a console block"
        ended = mnp(*arguments)
        out += ended.out
        assert fence.shown is not None or (ended.status, ended.err) == (0, ""), f"{fence}: {command}\n{ended}"
    assert fence.shown is None or lines(out) == lines(fence.shown), str(fence)


@of("python")
def test_python_compiles_and_its_imports_exist(fence):
    for name in re.findall(r"^(?:from|import) (mnp_core[\w.]*)", fence.text, re.MULTILINE):
        assert importlib.util.find_spec(name), name
    exec(compile(fence.text, str(fence), "exec"), {"__name__": "shown"})  # noqa: S102 - it is our own page


@of("yaml")
def test_yaml_is_settings_expectations_or_objects_that_are_right(fence, folder, mnp):
    documents = list(yaml.safe_load_all(fence.text))
    if fence.title == "wrong.yaml":
        assert mnp("validate", "examples/quickstart/cluster.yaml", write(folder, fence)).status == 1
    elif "kustomize" in fence.text:
        assert all(
            (ROOT / path.removeprefix("mnp/")).is_dir() for path in re.findall(r"mnp/deploy/\S+[^\]\s]", fence.text)
        )
    elif all(isinstance(document, dict) and "kind" in document for document in documents):
        ended = mnp("validate", "examples/quickstart/cluster.yaml", write(folder, fence))
        assert ended.status == 0, ended.out
    elif "repos" in documents[0]:
        (ours,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
        assert [hook["id"] for repo in documents[0]["repos"] for hook in repo["hooks"]] == [ours["id"]]
    elif "jobs" in documents[0]:
        check_workflow(documents[0], mnp)
    elif isinstance(documents[0], list):
        assert list(parse_expectations(documents[0], where=str(fence)))
    else:
        parse_settings(documents[0], where=str(fence), read=str)


def check_workflow(workflow, mnp):
    """Its commands are right, and the folders that they install are there."""
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    for words in (command.partition(" >>")[0].split() for command in commands):
        if words[0] == "mnp":
            places = ["examples/quickstart" if word.endswith("/manifests") else word for word in words[1:]]
            assert mnp(*places).status == 0
        else:
            assert all((ROOT / word.removeprefix("./mnp/")).is_dir() for word in words if word.startswith("./mnp/"))
    assert any(command.startswith("mnp ") for command in commands)


def write(folder, fence):
    path = folder / "shown.yaml"
    path.write_text(fence.text)
    return path


@of("json")
def test_json_is_json(fence):
    assert json.loads(fence.text)


@of("toml")
def test_toml_is_toml(fence):
    assert tomllib.loads(fence.text)


def test_every_block_says_in_which_language_it_is():
    assert {str(fence): fence.language for fence in FENCES if fence.language not in LANGUAGES} == {}


def test_every_setting_is_in_the_table_and_no_other():
    with pytest.raises(InputError) as caught:
        parse_settings({"?": 1}, where="", read=str)
    known = caught.value.message.partition("there are: ")[2].split(", ")
    assert sorted(in_table("settings.md")) == known


def test_defaults_in_the_table_of_settings_are_the_defaults():
    rows = [line.split(" | ") for line in (DOCS / "settings.md").read_text().splitlines() if line.startswith("| `")]
    written = {row[0].strip("|` "): row[2].strip("`") for row in rows}
    explicit = {name: yaml.safe_load(value) for name, value in written.items() if " " not in value and value != "none"}
    assert len(explicit) > 4
    assert parse_settings(explicit, where="", read=str) == parse_settings(None, where="", read=str)


def test_every_reason_is_in_the_table_and_no_other():
    rows = [name for name in in_table("reports.md") if re.fullmatch(r"[A-Z]\w+", name)]
    assert rows == [reason.value for reason in Reason]


def test_every_rule_that_is_quoted_anywhere_is_in_the_contract():
    contract = re.findall(r"^\| (S\d+) \|", (DOCS / "semantics.md").read_text(), re.MULTILINE)
    assert contract == sorted(set(contract), key=lambda rule: int(rule[1:]))
    quoted = {
        rule
        for folder in ("mnp_core", "plugins", "tests", "docs", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md", ".yaml"}
        for rule in re.findall(r"\bS\d{1,2}\b", path.read_text())
    }
    assert len(contract) > 30
    assert quoted <= {*contract}


FLAGS_OF_THE_ENGINES = {
    "multi-networkpolicy-iptables": """accept-icmp accept-icmpv6 allow-ipv6-dst-prefix allow-ipv6-src-prefix
        container-runtime container-runtime-endpoint custom-v4-egress-rule-file custom-v4-ingress-rule-file
        custom-v6-egress-rule-file custom-v6-ingress-rule-file host-prefix hostname-override kubeconfig master
        network-plugins pod-iptables sync-period""",
    "multi-networkpolicy-nftables": """accept-icmp accept-icmpv6 allow-dst-prefix allow-src-prefix
        container-runtime-endpoint custom-v4-egress-rule-file custom-v4-ingress-rule-file custom-v6-egress-rule-file
        custom-v6-ingress-rule-file host-prefix hostname-override kubeconfig network-plugins""",
}
"""As their options.go and main.go have them; those of their logging libraries are left out."""


@pytest.mark.parametrize("engine", FLAGS_OF_THE_ENGINES)
def test_every_flag_of_the_other_engines_is_answered(engine):
    section = (DOCS / "migration.md").read_text().partition(f"## Flags of {engine}\n")[2].partition("\n## ")[0]
    answered = re.findall(
        r"`--([a-z0-9-]+)`", "".join(line.split("|")[1] for line in section.splitlines() if "|" in line)
    )
    assert {*FLAGS_OF_THE_ENGINES[engine].split()} <= {*answered}
    settings = set(in_table("settings.md"))
    assert {*re.findall(r"setting `([a-z0-9-]+)`", section)} <= settings


def test_every_value_of_the_model_is_in_the_reference():
    shown = re.findall(r"^::: mnp_core\.model\.(\w+)$", (DOCS / "reference" / "model.md").read_text(), re.MULTILINE)
    assert sorted(shown) == sorted(mnp_core.model.__all__)


def test_every_page_is_reached_from_the_menu():
    menu = re.findall(r"^ *- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(menu) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.root
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("picture", ["matrix", "recording"])
def test_picture_of_a_terminal_shows_the_output_of_now(picture, mnp):
    drawn = (DOCS / "images" / f"{picture}.svg").read_text()
    words = unescape(" ".join(re.findall(r"<text [^>]*>([^<]*)</text>", drawn))).split()
    shown = " ".join(words[words.index("$") :])
    commands = re.findall(r"\$ mnp ((?:lab run|explain) \S+(?: --\S+ \S+)*)", shown)
    printed = [f"$ mnp {command} {mnp(*command.split()).out}" for command in commands]
    assert " ".join(" ".join(printed).split()) == shown


def test_nothing_is_fetched_from_elsewhere():
    pictures = "".join(path.read_text() for path in DOCS.rglob("*.svg")) + (DOCS / "style.css").read_text()
    assert not re.search(r"url\((?!#)|@import|<image|href=\"http", pictures)
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text().replace("!!", ""))["theme"]["font"] is False
