"""The page of `report` in a real Chromium: accessibility by axe-core, requests, scripts switched off, the keyboard, print."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from organization import hostile_organization, organization, read_report, with_faults

from browser import Browser, axe_script, chromium
from kube_iam.errors import KubeError
from kube_iam.report.access_page import access_page
from kube_iam.report.access_report import AccessReport

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("browser")]
WIDE, NARROW = 1280, 390
FACTS = {"Time": "2027-01-15 08:00 UTC", "AWS account": "123456789012", "API server": "https://api.prod.example.com"}
TAB = 9


def seeded() -> AccessReport:
    return read_report(with_faults(organization(users=30, levels=6)))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(chromium(), tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the URLs of pages by name: with findings, with nothing read, and of hostile names."""

    def refused() -> None:
        raise KubeError("the API server cannot be reached")

    folder = tmp_path_factory.mktemp("pages")
    reports = {
        "findings": seeded(),
        "unread": read_report(organization(), store=refused, rbac=refused, plan=refused, denials=refused),
        "hostile": read_report(hostile_organization()),
    }
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(access_page(report, FACTS))
    return {name: (folder / f"{name}.html").as_uri() for name in reports}


def axe(browser: Browser) -> list[str]:
    """Return the violations that axe-core finds, each with the first elements that have it."""
    # Also what Chromium lays out only when it comes near the window.
    browser.evaluate(
        "document.querySelectorAll('section').forEach((each) => { each.style.contentVisibility = 'visible'; })"
    )
    browser.evaluate(f"{axe_script()};1")
    found = json.loads(
        browser.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then((all) => JSON.stringify(all.violations))"
        )
    )
    return [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in found]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        *(("findings", width, scheme) for width in (WIDE, NARROW) for scheme in ("light", "dark")),
        *((name, *view) for name in ("unread", "hostile") for view in ((WIDE, "light"), (NARROW, "dark"))),
    ],
)
def test_axe_finds_no_violation(browser: Browser, pages: dict[str, str], name: str, width: int, scheme: str) -> None:
    browser.view(width, scheme=scheme)
    browser.open(pages[name])
    assert axe(browser) == []


@pytest.mark.parametrize("name", ["findings", "unread", "hostile"])
def test_the_page_asks_for_nothing_and_reports_no_error(browser: Browser, pages: dict[str, str], name: str) -> None:
    browser.view(WIDE)
    browser.open(pages[name])
    assert browser.requests == [pages[name]]
    assert browser.errors == []
    assert browser.evaluate("document.title").startswith("Access report: prod.example.com")


def test_another_script_does_not_run_in_the_page(browser: Browser, pages: dict[str, str]) -> None:
    browser.view(WIDE)
    browser.open(pages["findings"])
    browser.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'})), 1"
    )
    assert browser.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in browser.errors)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_but_the_tables_is_wider_than_the_window(browser: Browser, pages: dict[str, str], width: int) -> None:
    for name in pages:
        browser.view(width)
        browser.open(pages[name])
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, name


def test_without_scripts_everything_is_there_and_no_dead_filter(browser: Browser, pages: dict[str, str]) -> None:
    browser.view(WIDE)
    browser.scripts(on=False)
    try:
        browser.load(pages["findings"])
        text = str(browser.evaluate("document.body.textContent"))
        is_hidden = "[...document.querySelectorAll('#map > tbody > tr, .finding, section')].some((each) => !each.checkVisibility())"
        assert browser.evaluate(is_hidden) is False
        assert browser.evaluate("document.getElementById('filter').checkVisibility()") is False
    finally:
        browser.scripts(on=True)
    report = seeded()
    assert report.rows is not None
    assert all(row.who in text for row in report.rows)
    assert all(finding.item in text for finding in report.findings)


def shown_rows(browser: Browser) -> list[str]:
    rows = "[...document.querySelectorAll('#map > tbody > tr')].filter((row) => !row.hidden)"
    browser.wait_for_paint()
    return list(browser.evaluate(f"{rows}.map((row) => row.cells[0].firstChild.textContent.trim())"))


def tab_to(browser: Browser, ident: str) -> None:
    for _ in range(60):
        browser.press("Tab", TAB)
        if browser.evaluate("document.activeElement.id") == ident:
            return
    raise AssertionError(f"#{ident} cannot be reached with the Tab key")


def test_the_filter_works_with_the_keyboard_alone(browser: Browser, pages: dict[str, str]) -> None:
    browser.view(WIDE)
    browser.open(pages["findings"])
    every = shown_rows(browser)
    tab_to(browser, "words")
    for letter in "ADA":
        browser.press(letter, ord(letter), letter)
    some = shown_rows(browser)
    assert some == [name for name in every if "ada" in name.lower()]
    assert 0 < len(some) < len(every)
    assert browser.evaluate("document.getElementById('shown').textContent") == f"{len(some)} of {len(every)} lines"
    tab_to(browser, "level")
    browser.press("-", 0, "w")  # a select takes the first letters of an option: "without a level"
    assert set(shown_rows(browser)) <= set(some)
    browser.press("Tab", TAB)
    browser.press("Tab", TAB)
    assert browser.evaluate("document.activeElement.textContent") == "Clear"
    browser.press("Enter", 13, "\r")
    end = time.monotonic() + 30
    while shown_rows(browser) != every:
        assert time.monotonic() < end
    assert browser.evaluate("document.getElementById('words').value") == ""


def test_rows_are_filtered_by_level_and_privilege(browser: Browser, pages: dict[str, str]) -> None:
    browser.view(WIDE)
    browser.open(pages["findings"])
    report = seeded()
    assert report.rows is not None

    def choose(ident: str, value: str) -> list[str]:
        browser.evaluate(
            f"document.getElementById('{ident}').value = '{value}',"
            f"document.getElementById('{ident}').dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
        return shown_rows(browser)

    masters = [row.who for row in report.rows if row.is_master]
    assert choose("privilege", "system:masters") == masters
    assert len(choose("privilege", "*")) == sum(bool(row.privileges) for row in report.rows)
    choose("privilege", "")
    admins = choose("level", "payments-admin")
    assert len(admins) == sum(row.candidate.level == "payments-admin" for row in report.rows)


def test_the_first_tab_skips_to_the_content(browser: Browser, pages: dict[str, str]) -> None:
    browser.view(WIDE)
    browser.open(pages["findings"])
    browser.press("Tab", TAB)
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the content"
    box = browser.evaluate("JSON.stringify(document.activeElement.getBoundingClientRect())")
    assert json.loads(box)["left"] >= 0, "the focused link is not on the screen"
    browser.press("Enter", 13, "\r")
    assert browser.evaluate("document.activeElement.id") == "main"


def test_print_shows_all_and_is_dark_on_white(browser: Browser, pages: dict[str, str]) -> None:
    browser.view(WIDE, scheme="dark", media="print")
    browser.open(pages["findings"])
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    hidden = "['nav', 'search', '.skip'].map((each) => getComputedStyle(document.querySelector(each)).display)"
    assert browser.evaluate(hidden) == ["none", "none", "none"]
    members = "[...document.querySelectorAll('details p')].every((each) => each.checkVisibility({contentVisibilityAuto: true}))"
    assert browser.evaluate(members), "members behind a triangle are not printed"
    browser.view(WIDE, scheme="dark")
    assert len(re.findall(rb"/Type\s*/Page\b", browser.pdf())) > 5


def test_a_large_organization_opens(
    browser: Browser, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The seconds are printed with -rP, and measured on a machine that does nothing else: docs/report.md."""
    report = read_report(with_faults(organization(users=2000, levels=50)))
    page = tmp_path / "large.html"
    page.write_text(access_page(report, FACTS))
    browser.view(WIDE)
    seconds = browser.open(page.as_uri())
    assert report.rows is not None
    assert browser.evaluate("document.querySelectorAll('#map > tbody > tr').length") == len(report.rows)
    assert len({row.who for row in report.rows if row.candidate.person}) == 2000
    assert len(report.levels) == 50
    record_property("seconds", seconds)
    sys.stdout.write(
        f"{page.stat().st_size / 1e6:.1f} MB, {len(report.rows)} lines: opened and painted in {seconds:.2f} s\n"
    )
