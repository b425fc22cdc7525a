"""Figures, reports and comparisons of `make bench`."""

import json

import pytest

from benchmarks.bench.__main__ import main as bench
from benchmarks.bench.compare import Verdict, compare
from benchmarks.bench.compare import main as bench_compare
from benchmarks.bench.measurement import Measurement, exponent
from benchmarks.bench.report import line, missed, read, write


def measured(*samples, name="a change", target=None):
    return Measurement(part="compile", name=name, unit="ms", samples=samples, target=target)


def test_median_and_percentile_are_of_the_samples():
    found = measured(*range(1, 201))
    assert (found.median, found.p99) == (100.5, 198)
    assert measured(3, 1, 2).p99 == 3


def test_outliers_do_not_move_the_spread():
    assert measured(10, 11, 9, 10, 900).spread == pytest.approx(measured(10, 11, 9, 10, 9).spread, abs=1)


def test_a_measurement_without_samples_is_an_error():
    with pytest.raises(ValueError, match="without samples"):
        measured()


@pytest.mark.parametrize(("power", "expected"), [(0, 0.0), (1, 1.0), (2, 2.0)])
def test_exponent_is_the_power_of_growth(power, expected):
    sizes = [10, 100, 1000]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(expected)


def test_a_median_over_the_target_is_missed_and_marked():
    over, within = measured(2.0, 3.0, 4.0, target=2.5), measured(2.0, name="another", target=2.5)
    assert missed([over, within, measured(9)]) == ["compile: a change"]
    assert (line(over).split()[-1], line(within).split()[-1]) == ("NO", "yes")


def test_a_report_is_read_as_it_was_written(tmp_path):
    found = (measured(1.0, 2.0, target=3.0), measured(5.0, name="another"))
    write(tmp_path / "a.json", found, {"processors": 2})
    assert read(tmp_path / "a.json") == ({"processors": 2}, found)


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ((10, 10.1, 9.9), (10.2, 10.3, 10.1), Verdict.SAME),  # under 5 %
        ((10, 10.1, 9.9), (12, 12.1, 11.9), Verdict.WORSE),
        ((10, 10.1, 9.9), (8, 8.1, 7.9), Verdict.BETTER),
        ((10, 20, 5, 15, 8), (14, 24, 7, 19, 9), Verdict.SAME),  # within the noise
    ],
)
def test_a_difference_counts_beyond_the_noise(old, new, verdict):
    (found,) = compare([measured(*old)], [measured(*new)])
    assert found.verdict is verdict


def test_figures_of_one_report_alone_are_new_or_gone():
    found = compare([measured(1, name="old one")], [measured(1, name="new one")])
    assert [each.verdict for each in found] == [Verdict.NEW, Verdict.GONE]


def test_compare_ends_with_one_if_a_figure_got_worse(tmp_path, capsys):
    for name, sample in (("a.json", 10.0), ("b.json", 20.0)):
        write(tmp_path / name, [measured(sample)], {"processors": len(name) * sample, "load": sample})
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    assert bench_compare(files) == 1
    printed = capsys.readouterr().out
    assert "worse" in printed
    assert "other processors" in printed
    assert "other load" not in printed
    assert bench_compare(files[::-1]) == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("not JSON", "Expecting value"),
        ("[]", "not a report of format 1"),
        (json.dumps({"format": 1, "machine": {}, "measurements": [{"part": "x"}]}), "malformed report"),
    ],
)
def test_compare_refuses_other_files(tmp_path, capsys, text, error):
    (tmp_path / "a.json").write_text(text)
    assert bench_compare([str(tmp_path / "a.json")] * 2) == 2
    assert error in capsys.readouterr().err


def test_compare_names_a_missing_file_and_its_usage(tmp_path, capsys):
    assert bench_compare([str(tmp_path / "none"), "x"]) == 2
    assert "none" in capsys.readouterr().err
    assert bench_compare([]) == 2
    assert "usage" in capsys.readouterr().err


def test_bench_refuses_an_unknown_part(capsys):
    with pytest.raises(SystemExit) as ended:
        bench(["fast"])
    assert ended.value.code == 2
    assert (
        "no such part: fast; there are compile, apply, packets, enforced, start, server, memory, beside"
        in capsys.readouterr().err
    )


@pytest.mark.full
def test_the_cost_of_a_change_does_not_grow_with_the_cluster(tmp_path, capsys):
    """A cost that grows does so each time; on a busy machine some of these small samples are off by themselves."""
    arguments = ["compile", "--quick", "--json", str(tmp_path / "a.json")]
    assert any(bench(arguments) == 0 for _ in range(5)), capsys.readouterr()
    assert any(each.target for each in read(tmp_path / "a.json")[1])
