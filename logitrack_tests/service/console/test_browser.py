"""The web console in Chromium, against a real service."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.browser import PHONE, save_screenshot, visit
from logitrack_tests.service.conftest import PASSWORD
from logitrack_tests.service.console.conftest import Site

MAX_FIRST_VIEW_BYTES = 170_000
VIEWS = {
    "ride": "/?from=161&to=132&at=2019-07-01T08:30",
    "city": "/console/city?zone=7",
    "query": "/console/query?sql=select+1",
    "model": "/console/model",
    "pipeline": "/console/pipeline",
    "people": "/console/people",
}
SCREENSHOTS = Path(folder) if (folder := os.environ.get("LOGITRACK_TEST_SCREENSHOTS")) else None


def query_of(page: Any) -> dict[str, str]:
    """Return the query string of a page's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def choose_zone(page: Any, field: str, text: str) -> None:
    """Choose a zone by the first words of its name, with the keyboard alone."""
    page.get_by_role("combobox", name=field, exact=True).focus()
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_first_view_is_small_and_from_this_host_only(browser: Any, site: Site):
    with visit(browser, site.base, expected=("401",)) as visited:
        visited.open("/")
        page = visited.page
        assert page.locator("path[data-zone]").count() == 263
        assert page.get_by_role("heading", name="Sign in").is_visible()
        received = {urlsplit(answer.url).path: answer.request.sizes()["responseBodySize"] for answer in visited.answers}
        assert sum(received.values()) < MAX_FIRST_VIEW_BYTES, received
        assert {urlsplit(answer.url).netloc for answer in visited.answers} == {urlsplit(site.base).netloc}


def test_newcomer_registers_plans_a_ride_and_reports_it(browser: Any, site: Site):
    site.home.run("delete from service.throttle")
    with visit(browser, site.base, expected=("401", "404")) as visited:
        page = visited.page
        visited.open("/")
        page.get_by_role("button", name="Create an account").click()
        page.get_by_label("Username").fill("newcomer-1")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        page.get_by_text("Choose where the ride begins").wait_for()
        choose_zone(page, "From", "midtown center")
        choose_zone(page, "To", "jfk")
        assert query_of(page) == {"from": "161", "to": "132"}
        prediction = page.get_by_role("region", name="Prediction")
        prediction.get_by_text("20 min", exact=True).wait_for()
        assert "months before this ride" in prediction.inner_text(), "the model of 2019 says that it is old"
        page.get_by_label("Planned miles").fill("17")
        prediction.get_by_text("10 min", exact=True).wait_for()
        prediction.get_by_text("Why this long?").click()
        prediction.get_by_role("row", name="Estimate 10.0 min").wait_for()
        prediction.get_by_role("button", name="Report the real duration").click()
        prediction.get_by_label("It took, in minutes").fill("12.5")
        prediction.get_by_role("button", name="Report", exact=True).click()
        prediction.get_by_text("the real duration is recorded").wait_for()
        assert site.home.run("select count(*) from service.outcomes where duration_minutes = 12.5")[0][0] == 1
        stored = page.evaluate("[document.cookie, JSON.stringify({...localStorage, ...sessionStorage})].join()")
        assert PASSWORD not in stored
        assert "logitrack_session" not in stored, "scripts cannot read the session"
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()


def test_address_holds_the_ride_and_back_undoes_a_choice(browser: Any, site: Site):
    with visit(browser, site.base) as visited:
        page = visited.page
        site.sign_in(page, "user")
        visited.open("/?from=161&to=132&at=2019-07-01T08:30")
        page.get_by_text("arrival 08:50").wait_for()
        page.get_by_role("button", name="Swap from and to").click()
        page.get_by_text("JFK Airport → Midtown Center").wait_for()
        assert (query_of(page)["from"], query_of(page)["to"]) == ("132", "161")
        page.go_back()
        page.get_by_text("Midtown Center → JFK Airport").wait_for()
        page.get_by_label("Arrive by, New York time").fill("2019-07-01T12:00")
        page.get_by_text("to arrive by 12:00").wait_for()
        assert query_of(page)["arrive"] == "2019-07-01T12:00"


def test_zones_are_chosen_on_the_map(browser: Any, site: Site):
    with visit(browser, site.base) as visited:
        page = visited.page
        site.sign_in(page, "user")
        visited.open("/")
        for zone in (132, 138):
            page.locator(f'path[data-zone="{zone}"]').click()
        page.wait_for_url("**/?from=132&to=138")
        page.locator('path[data-zone="265"], path[data-zone="1"]').hover()
        page.get_by_text("20 min from JFK Airport").wait_for()
        assert page.get_by_text("EWR · zone 1").is_visible()


def test_city_filters_and_exports(browser: Any, site: Site):
    with visit(browser, site.base, accept_downloads=True) as visited:
        page = visited.page
        site.sign_in(page, "user")
        visited.open("/console/city")
        page.get_by_label("Fleet").select_option("green")
        page.get_by_role("button", name="Reliability").click()
        assert query_of(page) == {"fleet": "green", "metric": "reliability"}
        figure = page.get_by_role("figure", name="Reliability by zone")
        figure.get_by_role("button", name="Table").click()
        assert figure.get_by_role("row").count() == 41, "a head and the 40 zones with trips"
        figure.get_by_role("button", name="curl").click()
        command = figure.locator("pre").inner_text()
        assert f"'{site.base}/analytics/busiest-zones?fleet=green&direction=pickup&limit=500'" in command
        with page.expect_download() as download:
            figure.get_by_role("button", name="CSV").click()
        assert download.value.suggested_filename == "reliability-by-zone.csv"
        rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
        assert len(rows) == 40
        assert all(float(row["p90_minutes"]) >= float(row["median_minutes"]) for row in rows)


def test_analyst_runs_draws_and_saves_a_query(browser: Any, site: Site):
    sql = "select fleet, sum(trips) as trips from hours group by fleet order by fleet"
    with visit(browser, site.base) as visited:
        page = visited.page
        username = site.sign_in(page, "analyst")
        visited.open(f"/console/query?sql={sql.replace(' ', '+')}")
        asked = [urlsplit(answer.url).path for answer in visited.answers]
        assert "/analytics/query" not in asked, "a statement in a link is not run by opening it"
        page.get_by_label("SQL").press("Control+Enter")
        result = page.get_by_role("figure", name="Result")
        result.get_by_role("row").first.wait_for()
        assert result.get_by_role("row").all_inner_texts() == ["fleet\ttrips", "green\t4000", "yellow\t4000"]
        result.get_by_role("button", name="Bar").click()
        assert result.get_by_role("list", name="trips by fleet").get_by_role("listitem").count() == 2
        page.get_by_label("Name").fill("trips of fleets")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="trips of fleets", exact=True).wait_for()
        audited = site.home.run(
            "select count(*) from service.audit_events where event = 'analyst_query_submitted' and username = :name",
            name=username,
        )
        assert audited[0][0] == 1


def test_query_with_an_error_says_what_is_wrong(browser: Any, site: Site):
    with visit(browser, site.base, expected=("status of 400",)) as visited:
        site.sign_in(visited.page, "analyst")
        visited.open("/console/query?sql=select+nothing+from+hours")
        visited.page.get_by_role("button", name="Run").click()
        alert = visited.page.get_by_role("alert")
        alert.wait_for()
        assert 'column "nothing" does not exist' in alert.inner_text()


def test_views_of_other_roles_say_which_role_they_need(browser: Any, site: Site):
    with visit(browser, site.base) as visited:
        site.sign_in(visited.page, "user")
        for view, role in (("query", "analyst"), ("pipeline", "analyst"), ("people", "admin")):
            visited.open(f"/console/{view}")
            assert visited.page.get_by_text(f"This view needs the role {role}").is_visible()
        assert visited.page.get_by_role("link", name="People").count() == 0


def test_admin_changes_a_role(browser: Any, site: Site):
    with visit(browser, site.base) as visited:
        page = visited.page
        username = site.register("user")
        site.sign_in(page, "admin")
        visited.open("/console/people")
        with page.expect_response("**/role"):
            page.get_by_label(f"Role of {username}").select_option("analyst")
        with page.expect_response("**/vouched"):
            page.get_by_label(f"Vouch for {username}").click()
        stored = site.home.run("select role, vouched from service.accounts where username = :name", name=username)
        assert tuple(stored[0]) == ("analyst", True)


def test_admin_sees_why_a_version_is_not_promoted(browser: Any, site: Site):
    with visit(browser, site.base, expected=("status of 409",)) as visited:
        page = visited.page
        site.sign_in(page, "admin")
        visited.open("/console/model")
        page.get_by_label(f"Show {site.candidate}").click()
        page.get_by_text(f"Promote {site.candidate}").click()
        page.get_by_label("Reason, kept in the history").fill("a try")
        page.get_by_role("button", name="Promote", exact=True).click()
        page.get_by_role("alert").wait_for()
        assert "gates" in page.get_by_role("alert").inner_text()
        assert query_of(page) == {"version": site.candidate}


def test_admin_compares_versions_and_rolls_back(browser: Any, site: Site):
    registry = ModelRegistry(site.home.home / "models")
    first = registry.champion()
    assert first is not None
    registry.promote(site.candidate, by="test", reason="to be taken back")
    with visit(browser, site.base) as visited:
        page = visited.page
        site.sign_in(page, "admin")
        visited.open(f"/console/model?version={first.version}&compare={site.candidate}")
        rows = page.get_by_role("region", name="Metrics of both versions").get_by_role("row")
        assert rows.nth(2).inner_text().split("\t") == ["Mean absolute error, min", "3.40", "3.40", "0.00"]
        page.get_by_label(f"Show {first.version}").click()
        page.get_by_label(f"Show {site.candidate}").click()
        page.wait_for_function("location.search === ''")
        page.get_by_text("Roll back to the previous champion").click()
        page.get_by_label("Reason, kept in the history").fill("too fast")
        page.get_by_role("button", name="Roll back").click()
        page.get_by_role("cell", name="rollback: too fast").wait_for()
    champion = registry.champion()
    assert champion is not None
    assert (champion.version, champion.reason) == (first.version, "too fast")


def test_live_error_is_drawn_with_and_without_correction(browser: Any, site: Site):
    site.report_outcomes(minutes=25, count=30)
    with visit(browser, site.base) as visited:
        page = visited.page
        site.sign_in(page, "user")
        visited.open("/console/model")
        figure = page.get_by_role("figure", name="Live error by day")
        figure.get_by_text("without live correction", exact=True).wait_for()
        figure.get_by_role("button", name="Table").click()
        (row,) = figure.get_by_role("row").all_inner_texts()[1:]
        cells = dict(zip(figure.get_by_role("columnheader").all_inner_texts(), row.split("\t"), strict=True))
        assert (cells["outcomes"], cells["base mae minutes"]) == ("30", "5")
        coverage = page.get_by_role("figure", name="Coverage of the intervals")
        assert "0.0% of 30" in coverage.inner_text()


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible_and_fits_a_phone(browser: Any, site: Site, view: str):
    with visit(browser, site.base) as visited:
        page = visited.page
        site.sign_in(page, "admin")
        visited.open(VIEWS[view])
        assert page.title() == f"{view.title()} · logitrack"
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            save_screenshot(page, f"{view}-{scheme}", SCREENSHOTS)
            assert visited.axe_violations() == [], scheme
        page.set_viewport_size(PHONE)
        save_screenshot(page, f"{view}-phone", SCREENSHOTS)
        assert not visited.overflows()


def test_keyboard_alone_skips_to_the_content_and_reads_a_chart(browser: Any, site: Site):
    with visit(browser, site.base) as visited:
        page = visited.page
        site.sign_in(page, "user")
        visited.open(VIEWS["ride"])
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        page.get_by_role("img", name="Duration by departure").focus()
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        page.get_by_role("figure", name="When to leave").get_by_text(
            re.compile(r"Estimate: \d+ \(\d+ to \d+\)")
        ).wait_for()
        assert page.get_by_text("08:45", exact=True).is_visible()


def test_failure_is_shown_with_a_way_to_try_again(browser: Any, site: Site):
    with visit(browser, site.base, expected=("status of 503",)) as visited:
        page = visited.page
        site.sign_in(page, "user")
        problem = '{"title": "Service Unavailable", "status": 503, "detail": "The database does not answer."}'
        page.route("**/predict", lambda route: route.fulfill(status=503, body=problem))
        visited.open(VIEWS["ride"])
        page.get_by_role("alert").get_by_text("The database does not answer.").wait_for()
        page.unroute("**/predict")
        page.get_by_role("button", name="Try again").click()
        page.get_by_text("arrival 08:50").wait_for()


def test_sign_in_is_accessible(browser: Any, site: Site):
    with visit(browser, site.base, expected=("401",)) as visited:
        visited.open("/")
        assert visited.axe_violations() == []
