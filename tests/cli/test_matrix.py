from ipaddress import ip_address
from itertools import permutations

import pytest

from mnp_core.cli.matrix import matrix_lines, print_matrices
from mnp_core.model import ObjectName
from mnp_core.offline.probe import Probe, ProbeResult, ProbeVerdict, parse_probe


def answer(source, destination, verdict="allowed", *, spec="tcp:80", network="demo/data"):
    """Ends are written as pod@address."""
    (source, source_address), (destination, address) = source.split("@"), destination.split("@")
    parsed = parse_probe(spec)
    return ProbeResult(
        probe=Probe(
            source=ObjectName(*source.split("/")),
            source_interface="net1",
            source_address=ip_address(source_address),
            destination=ObjectName(*destination.split("/")),
            network=ObjectName(*network.split("/")),
            interface="net1",
            address=ip_address(address),
            protocol=parsed.protocol,
            port=parsed.port,
        ),
        verdict=ProbeVerdict(verdict),
    )


def printed(answers, *, width=80):
    return "".join("".join(text for text, _ in line) + "\n" for line in matrix_lines(answers, width))


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_few_pods_have_names_and_words():
    text = printed([answer("d/a@10.0.0.1", "d/b@10.0.0.2"), answer("d/b@10.0.0.2", "d/a@10.0.0.1", "denied")])
    assert rows(text) == [
        ["tcp:80", "on", "demo/data"],
        ["from", "\\", "to", "d/a", "d/b"],
        ["d/a", "-", "allowed"],
        ["d/b", "denied", "-"],
        [],
    ]


def test_each_network_family_and_port_has_a_matrix_of_its_own():
    answers = [
        answer("d/a@10.0.0.1", "d/b@10.0.0.2"),
        answer("d/a@fd00::1", "d/b@fd00::2"),
        answer("d/a@10.0.0.1", "d/b@10.0.0.2", spec="icmp"),
        answer("d/a@10.1.0.1", "d/b@10.1.0.2", network="demo/other"),
    ]
    titles = [line for line in printed(answers).splitlines() if " on " in line]
    assert titles == [
        "icmp on demo/data, IPv4",
        "tcp:80 on demo/data, IPv4",
        "tcp:80 on demo/data, IPv6",
        "tcp:80 on demo/other",
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_twenty_pods_fit(width):
    ends = [f"namespace/application-{n}@10.0.0.{n}" for n in range(1, 21)]
    denied = ("namespace/application-7@10.0.0.7", "namespace/application-3@10.0.0.3")
    text = printed(
        [answer(*pair, "denied" if pair == denied else "allowed") for pair in permutations(ends, 2)], width=width
    )
    assert max(map(len, text.splitlines())) <= width
    assert text.count("X") == 2  # the one cell, and the legend
    assert ". allowed   X denied   - not probed" in text


def test_in_letters_the_numbers_of_destinations_are_those_of_the_rows():
    ends = [f"namespace/application-{n:02}@10.0.0.{n}" for n in range(1, 21)]
    text = printed(
        [answer(*pair, "denied" if pair == (ends[6], ends[2]) else "allowed") for pair in permutations(ends, 2)]
    )
    line = next(line for line in rows(text) if line[:1] == ["namespace/application-07"])
    assert line[1] == "7"
    assert [number for number, cell in enumerate(line[2:], start=1) if cell == "X"] == [3]


def test_a_destination_that_is_no_source_has_its_number_explained():
    destinations = [f"namespace/application-{n}@10.0.0.{n}" for n in range(1, 21)]
    text = printed([answer("x/source@10.0.0.99", destination) for destination in destinations])
    assert ["namespace/application-20"] in [row[:1] for row in rows(text)]


def test_two_addresses_of_one_pod_are_separate():
    text = printed([answer("d/a@10.0.0.1", "d/b@10.0.0.2"), answer("d/a@10.0.0.1", "d/b@10.0.0.3", "denied")])
    assert "d/b 10.0.0.2" in text
    assert "d/b 10.0.0.3" in text
    assert "allowed" in text
    assert "denied" in text


def test_no_colour_without_a_terminal_or_with_no_color(monkeypatch, capsys):
    answers = [answer("d/a@10.0.0.1", "d/b@10.0.0.2")]
    for variables, is_coloured in (({}, False), ({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False)):
        for name in ("FORCE_COLOR", "NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        print_matrices(answers)
        assert ("\x1b[32m" in capsys.readouterr().out) is is_coloured
