"""Manifests that change on disk."""

import queue
import threading
from contextlib import contextmanager

import pytest

from mnp_core.errors import InputError
from mnp_core.sources.manifests import load_documents
from mnp_lab.watch import watch_documents

PATIENCE = 10  # seconds for work of a fraction of one


def pod(name):
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n"


def names(documents):
    return [document.raw["metadata"]["name"] for document in documents]


@contextmanager
def watching(*paths, present=None):
    """The results of the watch, in a queue."""
    stop, found = threading.Event(), queue.Queue()

    def run():
        for each in watch_documents(paths, stop, present):
            found.put(each)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_every_new_state_comes_and_a_broken_one_as_a_value(tmp_path):
    """S61."""
    file = tmp_path / "a.yaml"
    file.write_text(pod("one"))
    with watching(file) as found:
        assert names(found.get(timeout=PATIENCE)) == ["one"]
        file.write_text(pod("two"))
        assert names(found.get(timeout=PATIENCE)) == ["two"]
        file.write_text("kind: [\n")
        assert isinstance(found.get(timeout=PATIENCE), InputError)
        (tmp_path / "new").write_text(pod("three"))
        (tmp_path / "new").replace(file)  # as editors do
        assert names(found.get(timeout=PATIENCE)) == ["three"]
        file.unlink()
        assert isinstance(found.get(timeout=PATIENCE), InputError)
        file.write_text(pod("four"))
        assert names(found.get(timeout=PATIENCE)) == ["four"]


def test_files_and_folders_that_come_later_are_followed(tmp_path):
    """S61."""
    (tmp_path / "a.yaml").write_text(pod("one"))
    with watching(tmp_path) as found:
        assert names(found.get(timeout=PATIENCE)) == ["one"]
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "b.yaml").write_text(pod("two"))
        assert names(found.get(timeout=PATIENCE)) == ["one", "two"]
        (tmp_path / "sub" / "b.yaml").write_text(pod("three"))
        assert names(found.get(timeout=PATIENCE)) == ["one", "three"]


def test_known_objects_do_not_come_again(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(pod("one"))
    with watching(file, present=load_documents([file])) as found:
        (tmp_path / "unrelated").write_text("x")
        file.touch()
        with pytest.raises(queue.Empty):
            found.get(timeout=1.5)
        file.write_text(pod("two"))
        assert names(found.get(timeout=PATIENCE)) == ["two"]


def test_standard_input_cannot_be_watched():
    with pytest.raises(InputError, match="cannot be watched"):
        next(watch_documents(["-"], threading.Event()))
