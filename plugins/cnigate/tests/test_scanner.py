"""The executable's JSON reader with mutated input, under sanitizers, against Python's."""

import json
import random
import struct
import subprocess

import pytest

from plugins.cnigate.tests.calls import PROJECT, RESULT

SEED = 20261127
FULL = (
    b'{"cniVersion":"1.1.0","name":"da\\u00e4ta","type":"mnp-cnigate","socket":"/run/\\ud83d\\ude00/x","atLimit":"open",'
    b'"seconds":10,"network":"a/b","prevResult":' + RESULT + b',"x":[[{},[]],{"a":[null,true,false,-0.5e-7]}]}'
)
SEEDS = (
    FULL,
    b'{"cniVersion":"0.3.1","name":"a","prevResult":{}}',
    b'{"cni\\u0056ersion":"1.0.0","name":"a"}',
    b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
    b'{"a":' + b"[" * 64 + b"1" + b"]" * 64 + b"}",
    b'{"a":' + b"[" * 65 + b"1" + b"]" * 65 + b"}",
    b'{"a":' + b'{"a":' * 65 + b"1" + b"}" * 65 + b"}",
    b'{"socket":"' + b"a" * 200 + b'"}',
    b'{"a":"\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\x80"}',
)
TOKENS = (
    *(bytes([each]) for each in b'{}[]",:\\/0123456789.eE+-ub \t\n\0\x1f\x7f\x80\xc0\xc2\xe0\xed\xf0\xf4\xff'),
    *(
        b"true",
        b"null",
        b"\\ud800",
        b"\\udc00",
        b"\\u0000",
        b'"prevResult":',
        b'"cniVersion":"1.0.0",',
        b'\\"',
        b"[" * 70,
    ),
)


def mutate(chance):
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at:at] = chance.choice(TOKENS)
            case 1:
                del data[at : at + chance.choice((1, 1, 2, 10, 100))]
            case 2:
                data[at : at + 1] = chance.choice(TOKENS)
            case 3:
                other = chance.choice(SEEDS)
                data[at:] = other[chance.randrange(len(other)) :]
            case _:
                data[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(data)


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    made = tmp_path_factory.mktemp("fuzz") / "fuzz"
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
    sources = ("json.c", "config.c", "fuzz.c")
    subprocess.run(["cc", "-std=c11", *sanitizers, "-o", made, *sources], cwd=PROJECT / "c", check=True)
    return made


def read_by_c(harness, cases):
    """Code and prevResult of each."""
    given = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    ended = subprocess.run([harness], input=given, capture_output=True, check=False, timeout=250)
    assert (ended.returncode, ended.stderr.decode()) == (0, "")
    lines = [tuple(map(int, line.split())) for line in ended.stdout.splitlines()]
    return [
        (code, case[at : at + size] if at >= 0 else None) for case, (code, at, size) in zip(cases, lines, strict=True)
    ]


class TwiceError(ValueError):
    """A key of the executable is there twice: Python would take the last."""


def refuse(text):
    raise ValueError(text)  # Infinity and NaN, which are Python's


def depth(value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(depth, children), default=0)


KEYS = {"socket", "atLimit", "seconds", "cniVersion", "name", "network", "prevResult"}


def read_by_python(case):
    """The document, or None if the executable has to refuse it."""
    try:
        pairs = json.loads(case.decode(), parse_constant=refuse, object_pairs_hook=list)
        document = json.loads(case.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    keys = [key for key, _ in pairs if key in KEYS]
    return document if len(keys) == len({*keys}) else None


def compare(harness, count, seed):
    chance = random.Random(seed)  # noqa: S311 - repeatable
    cases = [*SEEDS, *(mutate(chance) for _ in range(count))]
    understood = 0
    for case, (code, result) in zip(cases, read_by_c(harness, cases), strict=True):
        document = read_by_python(case)
        if code == 6:
            assert document is None or depth(document) > 64, case
            continue
        assert document is not None, case
        assert (result is None) == ("prevResult" not in document), case
        assert result is None or json.loads(result) == document["prevResult"], case
        understood += code == 0
    assert understood > count / 50, "hardly any case is a configuration"


def test_mutated_input_is_read_as_python_reads_it(harness):
    compare(harness, 3000, SEED)


@pytest.mark.long
def test_much_mutated_input_is_read_as_python_reads_it(harness):
    for round_ in range(40):
        compare(harness, 10_000, SEED + 1 + round_)


def test_every_prefix_is_refused(harness):
    prefixes = [FULL[:size] for size in range(len(FULL))]
    assert {code for code, _ in read_by_c(harness, prefixes)} == {6}
    assert read_by_c(harness, [FULL]) == [(0, RESULT)]


def test_nesting_has_a_limit(harness):
    def nested(levels):
        return b'{"prevResult":' + b"[" * levels + b"]" * levels + b"}"

    codes = [code for code, _ in read_by_c(harness, [nested(63), nested(65), nested(100_000), b'{"a":' * 100_000])]
    assert (codes[0] != 6, codes[1:]) == (True, [6, 6, 6])
