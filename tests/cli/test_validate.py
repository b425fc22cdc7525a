"""`mnp validate`: places, forms, comments, and files that are no manifests."""

import json
import re
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from mnp_core.policy.lint import RULES
from tests.cli.objects import A, B, network, pod, policy

ANY = {"from": [{"podSelector": {}}]}
NARROW = {"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}

SHADOWED = """
    apiVersion: k8s.cni.cncf.io/v1beta1
    kind: MultiNetworkPolicy
    metadata:
      name: p
      namespace: demo
      annotations:
        k8s.v1.cni.cncf.io/policy-for: data
    spec:
      podSelector: {matchLabels: {app: a}}
      policyTypes: [Ingress]
      ingress:
      - from:
        - podSelector: {}
      - from: %s
        - podSelector: {matchLabels: {app: b}}
"""
BROKEN = SHADOWED.replace("{matchLabels: {app: b}}", "{matchLabels: [b]}") % ""


@pytest.fixture
def base(write):
    """The other objects, in a file of their own."""
    return write("base.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": [network(), A, B]}))


@pytest.fixture
def found(mnp, base):
    """`found(path)`: rule and place of each report."""

    def of(*arguments):
        ended = mnp("validate", base, *arguments, "-o", "json")
        assert ended.err == ""
        return [
            (each["reason"], each["file"] and each["file"].rpartition("/")[2], each["line"], each["column"])
            for each in json.loads(ended.out)["reports"]
        ]

    return of


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_finding_has_file_line_and_column(found, write):
    assert found(write("p.yaml", SHADOWED % "")) == [("ShadowedRule", "p.yaml", 15, 5)]


def test_places_in_later_documents_lists_templates_and_json(found, write):
    in_list = {"kind": "List", "apiVersion": "v1", "items": [A, policy("p", ingress=[ANY, NARROW])]}
    many = write("many.yaml", f"# nothing\n---\n---\n{json.dumps(in_list, indent=2)}\n")
    line = many.read_text().splitlines().index("          {", many.read_text().count('"ingress"')) + 1
    reasons = found(many)
    (shadowed,) = [each for each in reasons if each[0] == "ShadowedRule"]
    assert many.read_text().splitlines()[shadowed[2] - 1].strip() == "{"
    assert line <= shadowed[2]
    deployment = """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: d, namespace: demo}
        spec:
          template:
            metadata:
              labels: {app: d}
              annotations:
                k8s.v1.cni.cncf.io/networks: nowhere
    """
    assert ("UnknownNetwork", "d.yaml", 9, 7) in found(write("d.yaml", deployment))


def test_a_field_that_is_not_there_has_the_place_around_it(found, write):
    text = BROKEN.replace("  annotations:\n        k8s.v1.cni.cncf.io/policy-for: data\n", "  labels: {}\n")
    assert ("InvalidPolicyFor", "p.yaml", 4, 1) in found(write("p.yaml", text))


def test_documents_that_are_no_objects_and_nameless_ones_have_places(found, write):
    path = write("odd.yaml", "apiVersion: v1\nmetadata: {name: x}\n---\napiVersion: v1\nkind: Pod\nmetadata: {}\n")
    assert [each[:3] for each in found(path)] == [("Malformed", "odd.yaml", 1), ("Malformed", "odd.yaml", 6)]


def test_standard_input_has_lines_too(mnp, base, monkeypatch):
    from io import BytesIO, TextIOWrapper  # noqa: PLC0415 # the stand-in of one test

    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO((SHADOWED % "").replace("\n    ", "\n").encode())))
    assert "standard input:15:5: MultiNetworkPolicy demo/p: spec.ingress[1]" in mnp("validate", base, "-").out


# --- levels and rules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 0),
        (["--fail-on", "warning"], 1),
        (["--fail-on", "hint"], 1),
        (["--fail-on", "hint", "--ignore", "shadowed-rule"], 0),
        (["--fail-on", "hint", "--ignore", "MNP1"], 0),
        (["--fail-on", "warning", "--select", "SelectsNothing,MNP111"], 1),
        (["--fail-on", "warning", "--select", "mnp112", "--select", "DnsCutOff"], 0),
    ],
)
def test_rules_and_the_level_that_fails_are_chosen(mnp, base, write, options, status):
    assert mnp("validate", base, write("p.yaml", SHADOWED % ""), *options).status == status


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--select", "ShadowedRules"], ["there is no rule 'ShadowedRules'", "did you mean ShadowedRule?"]),
        (["--ignore", "MNP999"], ["there is no rule 'MNP999'"]),
        (["--select", ""], ["there is no rule ''"]),
        (["--select", "ShadowedRule,,"], ["there is no rule ''"]),
        (["--fail-on", "never"], ["'never' is not one of", "error"]),
        (["-o", "xml"], ["'xml' is not one of", "junit"]),
    ],
)
def test_wrong_options_are_one_clear_message(mnp, base, options, words):
    ended = mnp("validate", base, *options)
    assert (ended.status, ended.out) == (2, "")
    assert all(word in ended.err for word in words), ended.err


def test_complete_manifests_name_everything(mnp, base, write):
    path = write(
        "p.yaml", (SHADOWED % "").replace("namespace: demo", "namespace: far").replace(": data", ": demo/data")
    )
    assert "SelectsNothing" not in mnp("validate", base, path).out
    assert "SelectsNothing: no pod in namespace far matches" in mnp("validate", base, path, "--complete").out


TRUE_FINDINGS = {("SelectsNothing", "default/deny-by-default")}
"""Of all manifests from the field together: the policy's network is in one of them, pods of its namespace in others."""


def test_manifests_of_the_repository_have_no_doubts_but_true_ones(mnp, examples):
    field = examples.parent / "tests" / "cli" / "data"
    folders = [path.parent for path in sorted(examples.glob("*/policy.yaml"))]

    def doubts(path):
        reports = json.loads(mnp("validate", path, "-o", "json").out)["reports"]
        return {(each["reason"], each["name"]) for each in reports if each["rule"] >= "MNP1"}

    assert {path: doubts(path) for path in (*folders, *field.glob("*.yaml")) if doubts(path)} == {}
    assert doubts(field) == TRUE_FINDINGS


# --- comments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "comment",
    [
        "# mnp: ignore[ShadowedRule] because",
        "#mnp:ignore[MNP111]: because",
        "# mnp: ignore[shadowed-rule, MNP112] because",
    ],
)
def test_a_comment_excuses_a_finding(found, write, comment):
    assert found(write("end.yaml", SHADOWED % comment)) == []
    above = (SHADOWED % "").replace("      - from: \n", f"      {comment}\n\n      # more\n      - from:\n")
    assert comment in above
    assert found(write("above.yaml", above)) == []
    assert found(write("object.yaml", f"    {comment}\n    ---{SHADOWED % ''}")) == []


def test_a_comment_counts_where_it_stands_and_for_its_rule_only(found, write):
    elsewhere = (SHADOWED % "").replace(
        "policyTypes: [Ingress]", "policyTypes: [Ingress] # mnp: ignore[ShadowedRule] x"
    )
    assert found(write("p.yaml", elsewhere)) == [("UselessIgnore", "p.yaml", 11, 26), ("ShadowedRule", "p.yaml", 15, 5)]
    (shadowed, useless) = found(write("p.yaml", SHADOWED % "# mnp: ignore[DnsCutOff] x"))
    assert (shadowed[0], useless) == ("ShadowedRule", ("UselessIgnore", "p.yaml", 15, 11))


def test_a_comment_without_reason_or_rule_is_found(found, write):
    assert found(write("p.yaml", SHADOWED % "# mnp: ignore[ShadowedRule]"))[0][0] == "IgnoreWithoutReason"
    for comment in ("# mnp: ignore", "# mnp: ignore[] x", "# mnp: ignore[Nonsense] x"):
        assert {each[0] for each in found(write("p.yaml", SHADOWED % comment))} == {"ShadowedRule", "UselessIgnore"}


def test_a_comment_for_a_rule_that_is_not_asked_for_is_not_useless(found, write):
    path = write("p.yaml", SHADOWED % "# mnp: ignore[ShadowedRule] x")
    assert found(path, "--select", "DnsCutOff,UselessIgnore") == []


def test_a_value_is_no_comment(found, write):
    text = (SHADOWED % "").replace("name: p\n", 'name: p\n      labels: {a: "# mnp: ignore[ShadowedRule] x"}\n')
    assert [each[0] for each in found(write("p.yaml", text))] == ["ShadowedRule"]


def test_excused_findings_are_counted_and_listed(mnp, base, write):
    path = write("p.yaml", SHADOWED % "# mnp: ignore[ShadowedRule] because")
    assert mnp("validate", base, path).out.endswith("; 1 finding ignored\n")
    (ignored,) = json.loads(mnp("validate", base, path, "-o", "json").out)["ignored"]
    assert (ignored["reason"], ignored["justification"]) == ("ShadowedRule", "because")


# --- files that are no manifests -------------------------------------------------------------------------------------

CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
    "chart/values.yaml": "kind: big\nmetadata: {a: b}\n",
    "chart/templates/policy.yaml": "{{ if .X }}\napiVersion: v1\nkind: Pod\nmetadata: {name: {{ .N }}}\n{{ end }}",
    "chart/templates/quoted.yaml": 'apiVersion: v1\nkind: Pod\nmetadata: {name: "{{ .Release.Name }}"}\n',
    "loose-template.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ name }}}\n",
}
KUSTOMIZE = {
    "overlay/kustomization.yaml": "resources: [..]\npatches: [path: patch.yaml]\npatchesStrategicMerge: [more.yaml]\n",
    "overlay/patch.yaml": "apiVersion: k8s.cni.cncf.io/v1beta1\nkind: MultiNetworkPolicy\nmetadata: {name: p}\n",
    "overlay/more.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: X Y}\n",
}
OTHERS = {
    "mkdocs.yml": "x: !!python/name:foo.bar\n",
    "tsconfig.json": "{ // a comment\n}",
    "ci.yml": "jobs: {a: {b: c}}\n",
}


@pytest.mark.parametrize(
    ("files", "skipped"), [(CHART, 5), (KUSTOMIZE, 3), (OTHERS, 3)], ids=["helm", "kustomize", "others"]
)
def test_a_folder_with_other_files_is_no_heap_of_complaints(mnp, base, write, files, skipped):
    for name, text in files.items():
        write(name, text)
    ended = mnp("validate", base.parent, "-o", "json")
    assert ended.err == ""
    answer = json.loads(ended.out)
    assert (answer["reports"], answer["summary"]["skipped"]) == ([], skipped)
    text = mnp("validate", base.parent).out
    assert "skipped" in text
    assert text.startswith("no problems in 1 Namespace, 1 NetworkAttachmentDefinition, 2 Pod; ")


def test_a_broken_file_is_an_error_if_it_is_named_or_looks_like_an_object(mnp, base, write):
    template = write("template.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ name }}}\n")
    assert mnp("validate", base.parent).status == 0
    named = mnp("validate", template)
    assert (named.status, named.out) == (2, "")
    assert "template.yaml, document 1, line 3" in named.err
    write("torn.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: [\n")
    assert "torn.yaml, document 1" in mnp("validate", base.parent).err


# --- forms -----------------------------------------------------------------------------------------------------------


def parsed(text):
    return ET.fromstring(text)  # noqa: S314 # our own output


TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/run"}},
    },
    "$defs": {
        "level": {"enum": ["none", "note", "warning", "error"]},
        "run": {
            "type": "object",
            "required": ["tool", "results"],
            "additionalProperties": False,
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "properties": {
                        "driver": {
                            "type": "object",
                            "required": ["name", "rules"],
                            "properties": {
                                "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}, "uniqueItems": True}
                            },
                        }
                    },
                },
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
        },
        "rule": {
            "type": "object",
            "required": ["id"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "string"},
                "name": {"type": "string"},
                "shortDescription": TEXT,
                "help": TEXT,
                "defaultConfiguration": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"level": {"$ref": "#/$defs/level"}},
                },
            },
        },
        "result": {
            "type": "object",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": -1},
                "level": {"$ref": "#/$defs/level"},
                "message": TEXT,
                "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
                "suppressions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["kind"],
                        "additionalProperties": False,
                        "properties": {"kind": {"enum": ["inSource", "external"]}, "justification": {"type": "string"}},
                    },
                },
                "locations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "physicalLocation": {
                                "type": "object",
                                "required": ["artifactLocation"],
                                "additionalProperties": False,
                                "properties": {
                                    "artifactLocation": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "uri": {"type": "string", "pattern": "^[A-Za-z0-9%/._~:-]+$"},
                                            "uriBaseId": {"type": "string"},
                                        },
                                    },
                                    "region": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "startLine": {"type": "integer", "minimum": 1},
                                            "startColumn": {"type": "integer", "minimum": 1},
                                        },
                                    },
                                },
                            },
                            "logicalLocations": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {
                                        "fullyQualifiedName": {"type": "string"},
                                        "kind": {"type": "string"},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The part of the schema of SARIF 2.1.0 (OASIS) that the output uses, written from the standard: required properties,
types and values. The schema itself is 3,000 lines and lies on the net."""


def test_sarif(mnp, base, write, monkeypatch):
    hostile = write("sub folder/ü:%.yaml", BROKEN)
    excused = write("p.yaml", (SHADOWED % "# mnp: ignore[ShadowedRule] because").replace("name: p", "name: q"))
    monkeypatch.chdir(base.parent)
    ended = mnp("validate", base, hostile.relative_to(base.parent), excused, "-o", "sarif")
    log = json.loads(ended.out)
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(RULES)
    assert all(run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"] for each in run["results"])
    first, last = run["results"][0], run["results"][-1]
    place = first["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == "sub folder/ü:%.yaml"
    assert (first["level"], place["region"]["startLine"]) == ("error", 16)
    assert (last["level"], last["suppressions"]) == ("warning", [{"kind": "inSource", "justification": "because"}])
    assert last["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == f"file://{excused}"
    assert len({each["partialFingerprints"]["objectAndField/v1"] for each in run["results"]}) == len(run["results"])


def test_junit(mnp, base, write):
    good, bad = write("good.yaml", SHADOWED % ""), write("bad.yaml", BROKEN.replace("name: p", "name: q"))
    root = parsed(mnp("validate", base, good, bad, "-o", "junit").out)
    suites = {suite.get("name").rpartition("/")[2]: suite for suite in root}
    assert list(suites) == ["base.json", "good.yaml", "bad.yaml"]
    assert [suites[name].get("failures") for name in suites] == ["0", "0", "1"]
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    assert "ShadowedRule" in suites["good.yaml"].find("testcase/system-out").text
    failure = suites["bad.yaml"].find("testcase/failure")
    assert failure.get("type") == "MNP004"
    assert "bad.yaml:16:" in failure.text
    strict = parsed(mnp("validate", base, good, bad, "-o", "junit", "--fail-on", "warning").out)
    assert strict.get("failures") == "2"


HOSTILE = "evil\n::error file=x,line=1::forged%0A\r\x1b[31m\x00é"


def hostile_objects():
    odd = pod("a") | {"metadata": {"name": HOSTILE, "namespace": "demo", "labels": {HOSTILE: 7}}}
    return [network(), A, B, odd, policy("p", ingress=[{"from": [{"podSelector": {"matchLabels": {HOSTILE: [1]}}}]}])]


@pytest.mark.parametrize("form", ["text", "github", "junit", "sarif", "json"])
def test_hostile_names_forge_nothing(mnp, write, form):
    path = write(
        "objects\n::error::x,%.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": hostile_objects()})
    )
    ended = mnp("validate", path, "-o", form)
    assert ended.status == 1
    assert "Traceback" not in ended.err
    forbidden = "\x1b\x00\r" if form != "json" else "\x1b\x00"
    assert not set(forbidden) & set(ended.out)
    commands = [line for line in ended.out.splitlines() if line.lstrip().startswith("::")]
    if form == "github":
        assert len(commands) == len(ended.out.splitlines()) >= 2
        for line in commands:
            match = re.fullmatch(r"::(error|warning|notice) file=([^,:]*),line=\d+,col=\d+,title=([^,:]*)::(.*)", line)
            assert match, line
            assert match[2].endswith("objects%0A%3A%3Aerror%3A%3Ax%2C%25.json")
            assert not re.search(r"%(?!25|0A|0D)", match[4])
    else:
        assert commands == []
    if form == "junit":
        assert int(parsed(ended.out).get("failures")) >= 2
    if form == "sarif":
        jsonschema.validate(json.loads(ended.out), SARIF)


def test_text_names_the_place_the_level_and_the_rule(mnp, base, write):
    lines = mnp("validate", base, write("p.yaml", SHADOWED % "")).out.splitlines()
    assert lines[0].endswith("p.yaml:15:5: MultiNetworkPolicy demo/p: spec.ingress[1]")
    assert lines[1].startswith("  Warning, ShadowedRule: ")
    assert lines[-1].startswith("no problems and 1 warning in 1 MultiNetworkPolicy, ")
