"""Files that are pipes."""

import os
import subprocess
import sys
import threading
import time

import pytest

from mnp_core.errors import InputError
from mnp_core.sources import textfile
from mnp_core.sources.textfile import MAX_BYTES, read_text


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def writing(pipe, content, delay=0.0):
    """A program that opens the other end after a while, and writes after another one."""

    def write():
        time.sleep(delay)
        with pipe.open("w") as stream:
            time.sleep(delay)
            stream.write(content)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_a_pipe_without_a_writer_is_an_error(pipe, monkeypatch):
    monkeypatch.setattr(textfile, "_WRITER_SECONDS", 0.1)
    with pytest.raises(InputError, match="no program writes into: name a file"):
        read_text(pipe)


@pytest.mark.parametrize(
    ("content", "delay"), [("a", 0.0), ("long " * 100_000, 0.0), ("", 0.3), ("a", 0.3), ("long " * 100_000, 0.3)]
)
def test_output_of_a_program_in_a_pipe_is_read_whole(pipe, content, delay):
    thread = writing(pipe, content, delay)
    assert read_text(pipe) == content
    thread.join(5)


def test_a_writer_may_take_longer_than_one_is_waited_for(pipe, monkeypatch):
    monkeypatch.setattr(textfile, "_WRITER_SECONDS", 0.4)
    writing(pipe, "late", delay=0.3)
    assert read_text(pipe) == "late"


def test_a_pipe_that_never_ends_is_too_large(pipe):
    writer = subprocess.Popen(["sh", "-c", 'exec yes >"$0"', str(pipe)])
    try:
        with pytest.raises(InputError, match=f"is larger than {MAX_BYTES // 2**20} MiB"):
            read_text(pipe)
    finally:
        writer.kill()
        writer.wait()


def test_the_output_of_a_program_can_be_named_as_a_file():
    """As a shell's process substitution does it."""
    ours, theirs = os.pipe()
    with subprocess.Popen([sys.executable, "-c", "print('written')"], stdout=theirs):
        os.close(theirs)
        assert read_text(f"/dev/fd/{ours}") == "written\n"
    os.close(ours)
