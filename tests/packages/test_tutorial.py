"""The tutorial, followed in an empty folder, with the core's wheel and the page alone."""

import re

import pytest

from tests.docs.fences import TUTORIAL, fences, lines

pytestmark = pytest.mark.full  # each fills an environment of its own

QUICKLY = {"PYTEST_ADDOPTS": "-p no:cacheprovider -m 'not root'"}
"""The same files are tested in plugins/example, with packets: once is enough."""


@pytest.mark.root
def test_the_tutorial_word_for_word_gives_the_output_that_it_shows(with_pip, dist, tmp_path):
    with_pip.lend("editables")
    with_pip.install("mnp-core[testing]", links=dist)
    folder = tmp_path
    reports = []
    for fence in fences(TUTORIAL):
        if fence.title:
            (folder / fence.title).write_text(fence.text)
        elif fence.is_commands:
            done = with_pip.shell(fence.text, folder=folder, MNP_RUN_DIR=str(tmp_path / "run"), **QUICKLY)
            assert done.returncode == 0, f"{fence}\n{done.stdout[-5000:]}{done.stderr[-5000:]}"
            assert fence.shown is None or lines(done.stdout) == lines(fence.shown), str(fence)
            reports += re.findall(r"(Test\w+: \d+ standard tests): ", done.stdout)
            for step in re.findall(r"^cd (\S+)$", fence.text, re.MULTILINE):
                folder /= step
    assert len(list(folder.glob("dist/*.whl"))) == 1
    shown = next(fence.text for fence in fences(TUTORIAL) if "= conformance =" in fence.text)
    assert reports[-2:] == re.findall(r"(Test\w+: \d+ standard tests): ", shown)
