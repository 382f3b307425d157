"""Lists the tests that pytest skips, as tests/common/skip.rs does for Rust. A conftest.py imports the two hooks."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        note(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        note(report)
    return report


def note(report: pytest.TestReport | pytest.CollectReport) -> None:
    assert isinstance(report.longrepr, tuple)
    why = report.longrepr[2].removeprefix("Skipped: ")
    if path := os.environ.get("UPLOAD_SKIPPED"):
        # In one write: other tests append at the same time.
        with open(path, "ab", buffering=0) as file:
            file.write(f"{report.nodeid}: {why}\n".encode())
    # GWS is another project's source tree, which no machine is expected to have.
    if "UPLOAD_SKIP_NOTHING" in os.environ and why != "GWS_APP_DIR is not set":
        report.outcome, report.longrepr = "failed", f"skipped: {why}"
