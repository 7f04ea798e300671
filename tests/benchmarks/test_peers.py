"""``scripts/bench peers``: only apps that do their work are timed, and the chart shows the stored results."""

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from jose import jwt

from benchmarks.peers.__main__ import exit_code, main
from benchmarks.peers.acceptance import Statuses, accept
from benchmarks.peers.chart import draw
from benchmarks.peers.load import run_wrk
from benchmarks.peers.page_request import PATH
from benchmarks.peers.report import CHART, DATA, Report, Result
from benchmarks.peers.servers import running_servers
from benchmarks.peers.table import difference, lines
from benchmarks.peers.tokens import Tokens, issue_tokens
from benchmarks.peers.variants import ALL, BASE, COMPARISONS, CONTROL
from benchmarks.rounds import Spread

ROOT = Path(__file__).parents[2]
_SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    """One key and its tokens; the key takes a while to generate."""
    return issue_tokens()


@pytest.fixture
def report() -> Report:
    """The stored results."""
    return Report.from_json(DATA.read_text("utf-8"))


def _with_result(report: Report, name: str, result: Result) -> Report:
    results = tuple(result if each.name == name else each for each in report.results)
    return replace(report, results=results)


def _result(report: Report, name: str) -> Result:
    (found,) = (each for each in report.results if each.name == name)
    return found


def _parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


class TestTokens:
    """The libraries get equivalent tokens."""

    @pytest.mark.parametrize("name", ["session", "auth0", "entra"])
    def test_each_library_gets_a_token_of_the_same_size_and_content(self, tokens: Tokens, name: str) -> None:
        """About 1.2 kB, with roles and permissions in two tenants, signed with the published RSA key."""
        token: str = getattr(tokens, name)
        claims = jwt.get_unverified_claims(token)

        assert 1_100 < len(token) < 1_300
        assert sorted(claims["tenants"]) == ["acme", "globex"]
        assert all(grants["roles"] and grants["permissions"] for grants in claims["tenants"].values())
        header = jwt.get_unverified_header(token)
        assert (header["alg"], header["kid"]) == ("RS256", tokens.keys[0]["kid"])

    def test_a_tampered_token_differs_in_its_signature_only(self, tokens: Tokens) -> None:
        """Header and payload stay as they are, so only a check of the signature rejects it."""
        token, tampered = tokens.session, tokens.tampered().session

        assert tampered.rpartition(".")[0] == token.rpartition(".")[0]
        assert sum(one != other for one, other in zip(token, tampered, strict=True)) == 1


@pytest.mark.anyio
class TestAcceptance:
    """An app that does not do its work is not measured."""

    @pytest.mark.parametrize("name", ["session cookie", "both cookies", "user, tenant, role", "uncached"])
    async def test_ours_serves_a_user_and_rejects_a_changed_signature(
        self, tokens: Tokens, name: str
    ) -> None:
        """200 with the token; 401 with a changed one, also if the valid one is cached; 401 without one."""
        accepted = await accept(ALL[name], tokens)

        assert accepted.fault is None
        assert accepted.statuses == Statuses(valid=200, tampered=401, absent=401)

    @pytest.mark.parametrize("name", ["pyjwt", "pyjwt, key client"])
    async def test_pyjwt_serves_a_user_and_rejects_a_changed_signature(
        self, tokens: Tokens, name: str
    ) -> None:
        """200 with the token, 401 with a changed one and without one."""
        accepted = await accept(ALL[name], tokens)

        assert accepted.statuses == Statuses(valid=200, tampered=401, absent=401)

    @pytest.mark.parametrize("name", ["sdk, async", "sdk, sync"])
    async def test_the_sdk_answers_500_to_a_changed_signature_and_is_measured(
        self, tokens: Tokens, name: str
    ) -> None:
        """Its README catches AuthException, but PyJWT's own exception passes. The report names it."""
        accepted = await accept(ALL[name], tokens)

        assert accepted.app is not None
        assert accepted.statuses == Statuses(valid=200, tampered=500, absent=401)

    async def test_an_app_without_a_check_is_not_measured(self, tokens: Tokens) -> None:
        """An authenticated variant that serves a changed token has a fault."""
        accepted = await accept(replace(ALL["no auth"], is_public=False), tokens)

        assert accepted.app is None
        assert accepted.fault == "answers 200 to a changed signature"

    async def test_an_app_that_rejects_the_valid_token_is_not_measured(self, tokens: Tokens) -> None:
        """The token of another issuer is no token for Descope's project."""
        accepted = await accept(replace(ALL["pyjwt"], credentials=ALL["auth0"].credentials), tokens)

        assert accepted.app is None
        assert accepted.fault == "answers 401 to a valid token"

    async def test_a_missing_library_is_a_fault_with_its_name(self, tokens: Tokens) -> None:
        """The other libraries are measured without it."""
        accepted = await accept(replace(ALL["auth0"], factory="no_such_library:app"), tokens)

        assert accepted.app is None
        assert accepted.fault is not None
        assert "no_such_library" in accepted.fault


def test_a_page_that_needs_no_token_is_a_fault_of_an_authenticated_app() -> None:
    """200 without credentials."""
    statuses = Statuses(valid=200, tampered=401, absent=200)

    assert statuses.fault(is_public=False) == "serves the page without a token"
    assert statuses.fault(is_public=True) is None


@pytest.mark.slow  # needs wrk
class TestLoad:
    """Real servers under wrk."""

    def test_wrk_counts_responses_and_failures(self, tokens: Tokens) -> None:
        """Valid tokens give only 200s; each response to a changed token counts as a failure."""
        name = "session cookie"
        with running_servers([name], tokens, core=0) as ports:
            url = f"http://127.0.0.1:{ports[name]}{PATH}"
            good = run_wrk(url, (ALL[name].credentials(tokens),), seconds=1)
            bad = run_wrk(url, (ALL[name].credentials(tokens.tampered()),), seconds=1)

        assert good.failures == 0
        assert good.requests > 0
        assert 0 < good.p50_ms <= good.p99_ms
        assert bad.failures >= bad.requests > 0

    def test_the_servers_end_with_the_measurement(self, tokens: Tokens) -> None:
        """Nothing listens on their ports afterwards."""
        with running_servers([BASE, CONTROL], tokens, core=0) as ports:
            assert len(set(ports.values())) == 2

        for port in ports.values():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)


class TestReport:
    """The results as they are stored and printed."""

    def test_json_has_the_whole_report(self, report: Report) -> None:
        """Writing and reading it changes nothing."""
        assert Report.from_json(report.to_json()) == report
        assert report.to_json() == DATA.read_text("utf-8")

    def test_the_stored_results_have_every_variant(self, report: Report) -> None:
        """Also those of libraries that could not be measured, with the reason."""
        assert [each.name for each in report.results] == list(ALL)
        assert [(each.name, each.to) for each in report.ratios] == list(COMPARISONS)
        assert all((each.in_process is None) <= bool(each.fault) for each in report.results)

    def test_the_table_says_what_was_not_measured_and_why(self, report: Report) -> None:
        """Each variant has a line with its figures or the reason."""
        fault = "ModuleNotFoundError: No module named 'fastapi_plugin'"
        missing = replace(_result(report, "auth0"), in_process=None, under_load=None, fault=fault)
        text = "\n".join(lines(_with_result(report, "auth0", missing)))

        assert f"not measured: {fault}" in text
        assert all(variant.label in text for variant in ALL.values())

    def test_the_table_names_a_500_for_a_bad_token(self, report: Report) -> None:
        """A fact about the library, next to its statuses."""
        crashing = replace(_result(report, "auth0"), statuses=Statuses(200, 500, 401))
        table = list(lines(_with_result(report, "auth0", crashing)))

        (line,) = (each for each in table if "200 500 401" in each and crashing.label in each)
        assert line.endswith("(a 500 for a bad token)")

    def test_two_runs_are_compared_by_the_cost_that_differs_most(self, report: Report) -> None:
        """The costs are relative to the route without authentication, so a slower machine changes nothing."""
        result = _result(report, "both cookies")
        assert result.in_process
        slower = Spread(result.in_process.ratio.median * 1.04, 0, 0)
        later = replace(result, in_process=replace(result.in_process, ratio=slower))

        text = difference(_with_result(report, "both cookies", later), report)

        assert text == "costs differ from the earlier run by at most 4.0%: CurrentUser, both cookies"


class TestExitCode:
    """Whether a run can be used."""

    def test_a_missing_library_does_not_fail_the_run(
        self, report: Report, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is printed."""
        missing = replace(_result(report, "auth0"), fault="not installed")

        assert exit_code(_with_result(report, "auth0", missing)) == 0
        assert "Not measured: auth0-fastapi-api: not installed" in capsys.readouterr().out

    @pytest.mark.parametrize("name", [BASE, "both cookies"])
    def test_a_fault_of_ours_or_of_the_base_fails_the_run(self, report: Report, name: str) -> None:
        """There would be nothing to compare."""
        broken = replace(_result(report, name), fault="answers 401 to a valid token")

        assert exit_code(_with_result(report, name, broken)) == 1

    @pytest.mark.parametrize(("control", "code"), [(0.96, 3), (0.98, 0), (1.02, 0), (1.04, 3)])
    def test_two_timings_of_one_route_that_differ_make_the_run_inconclusive(
        self, report: Report, control: float, code: int
    ) -> None:
        """More than 3 % between the same route and itself is noise of the machine."""
        spread = Spread(control, control, control)
        ratios = [
            replace(each, in_process=spread) if each.name == CONTROL else each for each in report.ratios
        ]

        assert exit_code(replace(report, ratios=tuple(ratios))) == code


@pytest.mark.slow
@pytest.mark.nightly
def test_a_run_measures_what_is_installed_and_names_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment of the tests has PyJWT and Descope's SDK, but not the other libraries."""
    file = tmp_path / "results.json"

    code = main(["--quick", "--in-process", "--json", str(file), "--compare", str(DATA)])

    printed, results = capsys.readouterr().out, Report.from_json(file.read_text("utf-8")).results
    assert code in {0, 3}  # 3 if the machine is busy
    assert "costs differ from the earlier run by at most" in printed
    assert "Not measured: auth0-fastapi-api: ModuleNotFoundError" in printed
    measured = {each.name for each in results if each.in_process}
    assert measured == ALL.keys() - {"auth0", "entra", "joserfc"}
    assert all(each.under_load is None for each in results)


class TestChart:
    """The picture of README and documentation."""

    def test_the_stored_chart_is_drawn_from_the_stored_results(self, report: Report) -> None:
        """If not: .venv/bin/python -m benchmarks.peers.chart."""
        assert CHART.read_text("utf-8") == draw(report)

    def test_every_figure_is_text(self, report: Report) -> None:
        """Each variant but the control has its label, its cost and its throughput."""
        texts = [element.text for element in _parsed(draw(report)).iter(f"{_SVG}text")]

        for each in report.results:
            assert (each.label in texts) is (each.name != CONTROL)
            if each.in_process and each.under_load and each.name != CONTROL:
                assert f"{each.in_process.ratio.median:.2f}" in texts
                assert f"{each.under_load.requests_per_second.median:,.0f}" in texts

    def test_a_longer_bar_is_a_higher_cost(self, report: Report) -> None:
        """Bars begin at one line, and their lengths are in the ratio of the figures."""
        rects = list(_parsed(draw(report)).iter(f"{_SVG}rect"))[1:]
        measured = [each for each in report.results if each.in_process and each.name != CONTROL]
        base = min(float(rect.attrib["width"]) for rect in rects)

        assert len({rect.attrib["x"] for rect in rects}) == 1
        assert sorted(float(rect.attrib["width"]) / base for rect in rects) == pytest.approx(
            sorted(each.in_process.ratio.median for each in measured if each.in_process), rel=0.01
        )

    def test_screen_readers_get_a_title_and_every_cost(self, report: Report) -> None:
        """The description has the labels and figures."""
        svg = _parsed(draw(report))
        title, description = svg.findtext(f"{_SVG}title"), svg.findtext(f"{_SVG}desc")

        assert svg.attrib["role"] == "img"
        assert svg.attrib["aria-labelledby"] == "title desc"
        assert title == "What authentication costs a request"
        assert description is not None
        assert all(each.label in description for each in report.results if each.name != CONTROL)

    def test_the_chart_loads_nothing(self, report: Report) -> None:
        """No script, no external font, no image, no style sheet."""
        tags = {element.tag.removeprefix(_SVG) for element in _parsed(draw(report)).iter()}

        assert tags <= {"svg", "title", "desc", "rect", "path", "text"}
        assert "url(" not in draw(report)

    def test_a_variant_that_was_not_measured_has_no_bar(self, report: Report) -> None:
        """Its row says so."""
        missing = replace(_result(report, "auth0"), in_process=None, under_load=None, fault="not installed")
        svg = draw(_with_result(report, "auth0", missing))

        assert svg.count("<rect") == draw(report).count("<rect") - 1
        assert ">not measured<" in svg


def _pinned() -> Iterator[tuple[str, str]]:
    text = (ROOT / "benchmarks" / "peers" / "requirements.txt").read_text("utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            found = re.fullmatch(r"([a-z0-9-]+)==([0-9a-z.]+)", line)
            assert found, line
            yield found[1], found[2]


def test_sc06_the_libraries_are_pinned_and_the_stored_results_are_theirs(report: Report) -> None:
    """SC-06: each library that is compared has an exact version, and the chart shows that version."""
    pinned = dict(_pinned())
    packages = {each.package for each in ALL.values() if each.group == "other libraries"}

    assert pinned.keys() == packages
    assert {name: report.versions.get(name) for name in pinned} == pinned
