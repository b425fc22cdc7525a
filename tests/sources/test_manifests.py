"""Manifests in files, folders and standard input."""

import io
import json
import sys

import pytest

from mnp_core.errors import InputError
from mnp_core.sources.manifests import MAX_BYTES, load_documents, load_manifests

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
POD_YAML = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def feed(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_documents_of_a_file_say_where_they_are(tmp_path):
    path = write(tmp_path, "pods.yaml", f"{POD_YAML}---\n---\n{POD_YAML}")
    documents = load_documents([path])
    assert [document.where for document in documents] == [f"{path}, document 1", f"{path}, document 3"]
    assert [document.raw for document in documents] == [POD, POD]


def test_folders_are_read_recursively_in_order_and_each_file_once(tmp_path):
    for name in ("b.yaml", "a/z.json", "a/y.yml", "README.md", ".git/x.yaml", "a/.hidden.yaml"):
        write(tmp_path, name, json.dumps(POD))
    wheres = [document.where for document in load_documents([str(tmp_path), tmp_path / "b.yaml"])]
    assert wheres == [f"{tmp_path}/{name}, document 1" for name in ("a/y.yml", "a/z.json", "b.yaml")]


def test_standard_input(monkeypatch):
    feed(monkeypatch, POD_YAML.encode())
    (document,) = load_documents(["-"])
    assert (document.where, document.raw) == ("standard input, document 1", POD)


def test_json_may_hold_characters_that_yaml_cannot(tmp_path):
    pod = {**POD, "note": "\U0001f600 \u2028 \t"}
    path = write(tmp_path, "p.json", "\n " + json.dumps(pod))
    assert load_documents([path])[0].raw == pod


def test_flow_style_yaml_is_not_mistaken_for_json(tmp_path):
    path = write(tmp_path, "p.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: web}}\n---\n" + POD_YAML)
    assert [document.raw for document in load_documents([path])] == [POD, POD]


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + POD_YAML.encode())
    assert load_documents([path])[0].raw == POD


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [POD, POD]}),
        json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "web"}}] * 2}),
    ],
)
def test_lists_are_opened(tmp_path, text):
    path = write(tmp_path, "list.json", text)
    documents = load_documents([path])
    assert [document.raw for document in documents] == [POD, POD]
    assert documents[1].where == f"{path}, document 1, item 2"


@pytest.mark.parametrize(
    ("text", "field", "where"),
    [
        ("- a\n", "", "document 1"),
        ("just text\n", "", "document 1"),
        (f"{POD_YAML}---\n7\n", "", "document 2"),
        ("kind: Pod\n", "apiVersion", "document 1"),
        ("apiVersion: v1\n", "kind", "document 1"),
        ("{apiVersion: v1, kind: 7}\n", "kind", "document 1"),
        ("{apiVersion: v1, kind: List, items: [7]}\n", "", "document 1, item 1"),
        ("{apiVersion: v1, kind: List, items: [{}]}\n", "apiVersion", "document 1, item 1"),
        (
            "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [7]}]}\n",
            "",
            "document 1, item 1, item 1",
        ),
        ("{apiVersion: v1,\nkind: ]\n", "", "document 1, line 2"),
        ('{"a":' * 300 + "1" + "}" * 300, "", "document 1"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "", "document 1, line 1"),
    ],
    ids=range(12),
)
def test_non_manifest_is_refused_with_its_place(tmp_path, text, field, where):
    path = write(tmp_path, "f.yaml", text)
    with pytest.raises(InputError) as caught:
        load_documents([path])
    assert (caught.value.where, caught.value.field) == (f"{path}, {where}", field)


def test_non_object_may_be_left_out_alone(tmp_path):
    """S6: objects are distinguished from values for templates and the like."""
    text = f"{POD_YAML}---\n[1]\n---\nreplicas: 3\n---\nkind: Pod\nmetadata: {{name: a}}\n---\n{POD_YAML}"
    found = load_manifests([write(tmp_path, "f.yaml", text)])
    assert [document.raw for document in found.documents] == [POD, POD]
    assert [(error.where[-10:], error.field) for error in found.rejected] == [("document 4", "apiVersion")]
    assert found.foreign == 2


def test_paths_that_hold_no_manifests_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_documents([tmp_path / "none.yaml"])
    with pytest.raises(InputError, match="no manifests in this folder"):
        load_documents([tmp_path])
    (tmp_path / "bin.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text, at byte 3"):
        load_documents([tmp_path])


def test_endless_file_is_not_read_to_its_end():
    with pytest.raises(InputError, match=f"larger than {MAX_BYTES // 2**20} MiB"):
        load_documents(["/dev/zero"])
