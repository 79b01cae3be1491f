"""The operator's pages: for operators alone, by the services that the commands use, and asked twice before a cut."""

from typing import TYPE_CHECKING

import pytest
from portal.asking import ANONYMOUS, Answer, admitted, ask, refused

from mutualgate.app import Services

if TYPE_CHECKING:
    from starlette.types import ASGIApp

OPERATOR = admitted("olga", [b"a certificate"], roles=("admin",))
PAGES = [
    "/join/operator",
    "/join/operator/clients",
    "/join/operator/clients/anna",
    "/join/operator/clients/anna/suspend",
]


@pytest.fixture(autouse=True)
def people(services: Services) -> None:
    services.clients.add("olga", roles=["admin"])
    services.clients.add("anna", contact="anna@example.test", roles=["staff"])


def get(portal: "ASGIApp", path: str) -> Answer:
    return ask(portal, f"/join/operator{path}", OPERATOR)


def post(portal: "ASGIApp", path: str, **form: str) -> Answer:
    return ask(portal, f"/join/operator{path}", OPERATOR, form=form)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "who",
    [
        ANONYMOUS,
        admitted("anna", [b"x"], client_id=2, roles=("staff",)),
        refused([b"x"], "expired", known=True) | {"Mutualgate-Roles": "admin", "Mutualgate-Client": "olga"},
    ],
    ids=["nobody", "a client", "an operator who is refused"],
)
def test_they_are_for_operators_alone(portal: "ASGIApp", path: str, who: dict[str, str]) -> None:
    answer = ask(portal, path, who)
    assert answer.status == 403
    assert "for operators" in answer.words
    assert "anna@example.test" not in answer.text
    assert ask(portal, path, who, form={"sure": "yes"}).status in (403, 405)


def test_a_client_is_suspended_and_resumed_by_whoever_is_signed_in(portal: "ASGIApp", services: Services) -> None:
    asked = get(portal, "/clients/anna/suspend")
    assert "Suspend anna?" in asked.words
    assert "Open connections are cut." in asked.words
    assert post(portal, "/clients/anna/suspend").status == 400
    assert services.clients.get("anna").state == "invited"
    done = post(portal, "/clients/anna/suspend", sure="yes")
    assert (done.status, done.headers["Location"]) == (303, "/join/operator/clients/anna")
    assert services.clients.get("anna").state == "suspended"
    assert "suspended" in get(portal, "/clients/anna").words
    post(portal, "/clients/anna/resume", sure="yes")
    assert services.clients.get("anna").state == "invited"
    with services.store.reading() as tx:
        last = list(tx.audit.walk())[-2:]
    assert [(entry.by, entry.action) for entry in last] == [("olga", "client.suspend"), ("olga", "client.resume")]


@pytest.mark.parametrize("name", ["olga", "OLGA"])
@pytest.mark.parametrize("step", ["suspend", "revoke", "remove"])
def test_nobody_locks_itself_out(portal: "ASGIApp", services: Services, name: str, step: str) -> None:
    answer = post(portal, f"/clients/{name}/{step}", sure="yes")
    assert answer.status == 409
    assert "lock yourself out" in answer.words
    assert services.clients.get("olga").state == "invited"
    assert post(portal, f"/clients/{name}/roles", roles="staff").status == 409
    assert services.clients.get("olga").roles == ("admin",)


def test_a_certificate_is_revoked_alone_or_with_all_others(portal: "ASGIApp", services: Services) -> None:
    for _ in range(3):
        services.enrolment.make_p12("anna")
    first, second, third = services.clients.show("anna").credentials
    assert f"{first.serial.hex()} , until" in get(portal, f"/clients/anna/revoke?credential={first.id}").words
    assert get(portal, "/clients/anna/revoke?credential=999").status == 404
    post(portal, "/clients/anna/revoke", sure="yes", reason="certificateHold", credential=str(first.id))
    assert [one.state for one in services.clients.show("anna").credentials] == ["held", "valid", "valid"]
    assert "certificateHold" in get(portal, "/clients/anna").words
    post(portal, "/clients/anna/release", credential=str(first.id))
    post(portal, "/clients/anna/revoke", sure="yes", reason="keyCompromise")
    assert [one.state for one in services.clients.show("anna").credentials] == ["revoked"] * 3
    assert second.serial.hex() in get(portal, "/clients/anna").words
    assert third.fingerprint.hex() in get(portal, "/clients/anna").words.replace(" ", "")


def test_the_list_is_searched_and_paged(portal: "ASGIApp", services: Services) -> None:
    for number in range(60):
        services.clients.add(f"robot {number:02d}", contact=f"r{number}@machines.test", roles=["robot"])
    first = get(portal, "/clients")
    assert "62 clients" in first.words
    assert "robot 47" in first.words
    assert "robot 48" not in first.words
    assert "robot 59" in get(portal, "/clients?after=50").words
    found = get(portal, "/clients?search=r59%40machines&role=robot&state=invited")
    assert "1 client with" in found.words
    assert "robot 59" in found.words
    assert get(portal, "/clients?state=odd").status == 400
    assert get(portal, f"/clients?search={'x' * 200}").status == 400
    assert get(portal, "/clients?after=x").status == 400


def test_roles_are_replaced(portal: "ASGIApp", services: Services) -> None:
    assert post(portal, "/clients/anna/roles", roles="staff, orders:write").status == 303
    assert services.clients.get("anna").roles == ("orders:write", "staff")
    assert post(portal, "/clients/anna/roles", roles="not/a/role").status == 400


def test_hostile_names_are_text(portal: "ASGIApp", services: Services) -> None:
    services.clients.add("<img src=x>", contact="<script>alert(1)</script>")
    for path in ("/clients", "/clients/%3Cimg%20src=x%3E", "/clients?search=%22%3E%3Cscript%3E"):
        answer = get(portal, path)
        assert answer.status == 200
        assert "<img" not in answer.text
        assert "<script>" not in answer.text


def test_what_is_not_there_is_not_found(portal: "ASGIApp") -> None:
    for path in ("/nothing", "/clients/nobody", "/clients/anna/jump", "/clients/nobody/suspend"):
        assert get(portal, path).status == 404


def test_another_site_can_do_nothing(portal: "ASGIApp", services: Services) -> None:
    form = b"sure=yes"
    for fields in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}, {}):
        answer = ask(
            portal, "/join/operator/clients/anna/suspend", OPERATOR, method="POST", body=form,
            **{**fields, "Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        assert answer.status == 403
    assert services.clients.get("anna").state == "invited"
