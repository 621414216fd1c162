"""A run of a sweep as JUnit XML, which every CI reads: a cell is a test case."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from bitparity.output import write_text
from bitparity.records.history import CellHistory, History

# What XML 1.0 has no place for, whatever an engine wrote in its last words.
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PROPERTIES = ("candidate_digest", "reference_digest", "model_blake3", "bitparity_commit", "cpu", "command")


def write_junit(history: History, path: Path) -> None:
    """A test suite for every candidate and reference; raises BadInput when the file cannot be written."""
    root = ElementTree.Element("testsuites", name="bitparity")
    suites: dict[str, list[CellHistory]] = {}
    for cell in history.ran:
        suites.setdefault(f"{cell.last.candidate} against {cell.last.reference}", []).append(cell)
    for name, cells in suites.items():
        root.append(_suite(name, cells))
    ElementTree.indent(root)
    write_text(path, ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n")


def _suite(name: str, cells: list[CellHistory]) -> ElementTree.Element:
    cases = [_case(cell) for cell in cells]
    counted = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    about = {
        "name": _clean(name),
        "tests": str(len(cases)),
        **{named: str(sum(case.find(kind) is not None for case in cases)) for kind, named in counted.items()},
        "time": f"{sum(cell.last.seconds for cell in cells):.3f}",
        "timestamp": cells[0].last.date.partition("+")[0],
        "hostname": _clean(cells[0].last.host),
    }
    suite = ElementTree.Element("testsuite", about)
    suite.extend(cases)
    return suite


def _case(cell: CellHistory) -> ElementTree.Element:
    last = cell.last
    classname = ".".join(part.replace(".", "_") for part in (last.candidate, last.build) if part)
    named_elsewhere = ("reference", "candidate", "build")  # by the suite and the class
    name = " · ".join(value for axis, value in last.axes.items() if axis not in named_elsewhere)
    case = ElementTree.Element(
        "testcase", classname=_clean(classname), name=_clean(name), time=f"{last.seconds:.3f}"
    )
    properties = ElementTree.SubElement(case, "properties")
    for column in _PROPERTIES:
        if value := getattr(last, column):
            ElementTree.SubElement(properties, "property", name=column, value=_clean(value))
    if not last.passed:
        kind = _kind(cell)
        told = ElementTree.SubElement(case, kind, message=_clean(f"{last.outcome}: {last.sentence}"))
        if kind != "skipped":
            told.set("type", last.outcome)
        told.text = _clean("\n".join(_details(cell)))
    return case


def _kind(cell: CellHistory) -> str:
    """What a CI calls it: a cell that never compared anything was skipped."""
    outcome = cell.last.outcome
    if outcome == "not compared" and not cell.is_regression:
        return "skipped"
    is_verdict = outcome in ("agree", "explained", "noise", "diverged", "not compared", "reference suspect")
    return "failure" if is_verdict else "error"


def _details(cell: CellHistory) -> list[str]:
    said = [] if cell.first_bad is None else [f"fails since run {cell.first_bad.run}"]
    said += [] if cell.last_good is None else [f"passed last in run {cell.last_good.run}"]
    return [*said, *cell.differences, f"repeat: {cell.last.command}"]


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
