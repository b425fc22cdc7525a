"""Lines on standard error, with any content."""

import json
import logging
import subprocess
import sys
import warnings

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import ObjectName
from mnp_core.telemetry.logs import LogFormat, LogLevel, _text, configure_logging

HOSTILE = 'x\n2026-01-01 level=info msg="all is well"\r\x1b[2J\x1b[31m\x00\x7f\x9b\u2028\u202e" pod=a\\'


@pytest.fixture
def logged(capsys, logging_restored):  # noqa: ARG001 - undone after the test
    """Sets up logging, and returns the output."""

    def configure(form=LogFormat.TEXT, level=LogLevel.INFO):
        configure_logging(form, level)
        return lambda: capsys.readouterr().err

    return configure


def ours():
    return structlog.stdlib.get_logger("mnp_core.telemetry.test")


def test_text_is_logfmt_with_time_level_and_message_first(logged):
    err = logged()
    ours().info("rules applied", pod=ObjectName("demo", "web"), policies="demo/a,demo/b", seconds=0.012, empty="")
    assert err().partition(" ")[2] == (
        'level=info msg="rules applied" pod=demo/web policies=demo/a,demo/b seconds=0.012 empty=""\n'
    )


def test_json_has_the_same_keys(logged):
    err = logged(LogFormat.JSON)
    ours().warning("problem", pod=ObjectName("demo", "web"), seconds=0.5)
    line = json.loads(err())
    assert list(line) == ["time", "level", "msg", "pod", "seconds"]
    assert (line["level"], line["pod"], line["seconds"]) == ("warning", "demo/web", 0.5)
    assert line["time"].endswith("Z")


@pytest.mark.parametrize("form", LogFormat)
def test_user_text_forges_no_line_and_no_colour(logged, form):
    err = logged(form)
    ours().info(HOSTILE, pod=HOSTILE, **{HOSTILE: 1})
    logging.getLogger("library").warning("said %s", HOSTILE)
    text = err()
    assert text.isascii()
    assert [line.isprintable() for line in text.splitlines()] == [True, True]


@given(st.dictionaries(st.text(), st.text(), max_size=3))
def test_values_of_text_can_be_read_back(event):
    assert read_logfmt(_text(None, "info", event)) == event


def read_logfmt(text):
    """Key and value are each a plain word or a JSON string."""
    found, decoder = {}, json.JSONDecoder()

    def word(start, ends):
        if text.startswith('"', start):
            return decoder.raw_decode(text, start)
        end = min((at for at in (text.find(mark, start) for mark in ends) if at >= 0), default=len(text))
        return text[start:end], end

    at = 0
    while at < len(text):
        key, at = word(at, "=")
        value, at = word(at + 1, " ")
        found[key] = value
        at += 1
    return found


def test_libraries_speak_through_it_if_they_warn(logged):
    err = logged(level=LogLevel.DEBUG)
    logging.getLogger("kubernetes.client.rest").debug("response body: %s", "token")
    logging.getLogger("kubernetes.client.rest").warning("retrying %s", "soon")
    assert err().partition(" ")[2] == 'level=warning msg="retrying soon" logger=kubernetes.client.rest\n'


def test_our_own_modules_speak_through_it_in_either_way(logged):
    err = logged()
    logging.getLogger("mnp_core.plugins").info("loaded")
    logging.getLogger("mnp_core.plugins").debug("in detail")
    ours().debug("in detail")
    assert err().partition(" ")[2] == "level=info msg=loaded\n"


def test_warnings_of_python_are_lines_too(logged):
    err = logged(LogFormat.JSON)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging(LogFormat.JSON)  # catch_warnings restored showwarning
        warnings.warn("old", stacklevel=1)
    assert json.loads(err())["logger"] == "py.warnings"


def test_a_traceback_is_one_line(logged):
    err = logged()
    logging.getLogger("mnp_core").error("no luck", exc_info=ValueError(HOSTILE))
    assert err().count("\n") == 1


def test_level_is_the_least_that_is_said(logged):
    err = logged(level=LogLevel.ERROR)
    ours().warning("no")
    logging.getLogger("library").warning("no")
    ours().error("yes")
    assert [line.rpartition(" ")[2] for line in err().splitlines()] == ["msg=yes"]


def test_setting_it_up_twice_says_nothing_twice(logged):
    logged()
    err = logged()
    ours().info("once")
    assert err().count("once") == 1


def test_standard_output_is_left_to_results():
    program = (
        "from mnp_core.telemetry.logs import configure_logging; import structlog;"
        "configure_logging(); structlog.stdlib.get_logger('mnp_core').info('hello')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, "msg=hello" in done.stderr) == ("", True)
