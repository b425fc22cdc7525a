"""Streams that cannot be used, and files and numbers beyond all bounds: an error and a status, never a hang."""

import os
import resource
import subprocess
import sys

import pytest

LIMIT = 1024 * 1024 * 1024  # bytes of address space
OFFLINE = (("validate", ""), ("matrix", "1"))  # buffered, and not


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def program(redirection, *arguments, module="mnp_core.cli", standing=""):
    """Run by a shell, as a person does."""
    command = f'exec "$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        input=standing,
        preexec_fn=limit_memory,  # nothing runs beside this test
    )


@pytest.mark.parametrize(("command", "unbuffered"), OFFLINE)
@pytest.mark.parametrize(
    ("redirection", "reason"), [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_an_output_that_cannot_be_written_to_is_an_error(
    examples, command, redirection, reason, unbuffered, monkeypatch
):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    ended = program(redirection, command, examples / "quickstart")
    assert (ended.returncode, ended.stderr) == (2, f"Error: standard output cannot be written to: {reason}\n")


@pytest.mark.parametrize("arguments", [("--help",), ("plugins",)])
def test_neither_is_help_silent_about_it(arguments):
    ended = program(">/dev/full", *arguments)
    assert (ended.returncode, "cannot be written to" in ended.stderr) == (2, True)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_remarks_that_cannot_be_made_change_nothing_about_the_result(examples, tmp_path, redirection):
    odd = tmp_path / "odd.yaml"
    odd.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: [a]}\n")
    ended = program(redirection, "matrix", examples / "quickstart", odd)
    assert (ended.returncode, "denied" in ended.stdout) == (0, True)
    assert program(redirection, "validate", tmp_path / "missing.yaml").returncode == 2
    assert program(redirection, "validate").returncode == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(examples, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        ended = subprocess.run(
            [sys.executable, "-m", "mnp_core.cli", "matrix", examples / "quickstart"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_closed_input_is_an_error():
    ended = program("<&-", "validate", "-")
    assert (ended.returncode, "standard input: cannot be read" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "{quickstart}", "--settings", "{huge}"),
        ("validate", "/dev/zero"),
        pytest.param(("render", "{quickstart}", "--settings", "/dev/zero"), marks=pytest.mark.full),
        pytest.param(("explain", "/dev/zero", "--from", "a", "--to", "b"), marks=pytest.mark.full),
        pytest.param(("lab", "test", "{quickstart}", "--expect", "/dev/zero"), marks=pytest.mark.full),
    ],
)
def test_files_without_an_end_are_refused(examples, write, arguments):
    places = {"quickstart": examples / "quickstart", "huge": write("huge.yaml", "# nothing\n" * 2_000_000)}
    ended = program("", *(argument.format(**places) for argument in arguments))
    assert (ended.returncode, "arger than" in ended.stderr) == (2, True), ended.stderr


def test_a_rule_file_without_an_end_is_refused(examples, write):
    settings = write("settings.yaml", "custom-v4-ingress-rule-file: /dev/zero\n")
    ended = program("", "render", examples / "quickstart", "--settings", settings)
    assert (ended.returncode, "/dev/zero: is larger than 8 MiB" in ended.stderr) == (2, True), ended.stderr


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "inf", "-inf", "1e400", "0", "-1", "61", "1e9", "ten", ""])
@pytest.mark.parametrize("command", [("run",), ("test",), ("probe",)])
def test_a_timeout_is_a_number_of_seconds(mnp, examples, command, text):
    ended = mnp("lab", *command, *([] if command == ("probe",) else [examples / "quickstart"]), f"--timeout={text}")
    assert (ended.status, "--timeout" in ended.err) == (2, True), ended.err


@pytest.mark.parametrize("option", ["--settings", "--from"])
@pytest.mark.parametrize("value", ["/", "/dev", "a/b/c/d", "\x01", "x" * 5000, "/proc/self/mem"])
def test_odd_values_of_options_are_errors(mnp, examples, option, value):
    ended = mnp("matrix", examples / "quickstart", option, value)
    assert (ended.status, ended.out) == (2, "")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6443",
        "https://a:99999",
        *(
            pytest.param(url, marks=pytest.mark.full)
            for url in ("localhost", "https://", "https://:6443", "ftp://a", "http://a b", "x" * 99)
        ),
    ],
)
def test_a_url_that_is_none_is_an_error_at_start(url):
    ended = node("--master", url)
    assert (ended.returncode, "--master" in ended.stderr, "URL of a server" in ended.stderr) == (2, True, True), ended


@pytest.mark.parametrize(
    "path", ["/dev/zero", *(pytest.param(path, marks=pytest.mark.full) for path in ("/", "/dev/null"))]
)
def test_a_kubeconfig_that_is_none_is_an_error_at_start(path):
    ended = node("--kubeconfig", path)
    assert (ended.returncode, path in ended.stderr) == (2, True), ended


def node(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from mnp_core.cli.node import main; main()", "--listen=", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
