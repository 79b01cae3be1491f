"""Many invitations at once: written down first, made once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import Hands

from mutualgate import audit
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.bulk_invitations import PART, BulkInvitations, Done, Noted
from mutualgate.enrolment.invitation_use import InvitationUse
from mutualgate.enrolment.invitations import Invitations
from mutualgate.enrolment.people import Person, read_people
from mutualgate.enrolment.signing import Signer
from mutualgate.errors import BadInput
from mutualgate.model.names import ClientName
from mutualgate.store import Store


class Paper:
    """What is written down."""

    def __init__(self) -> None:
        self.noted: dict[str, Noted] = {}
        self.breaks = False

    def note(self, new: Sequence[Noted]) -> None:
        if self.breaks:
            raise BadInput("the disk is full")
        self.noted |= {ClientName(one.name).key: one for one in new}


@pytest.fixture
def invitations(store: Store, keys: KeyRing, authorities: Authorities) -> Invitations:
    return Invitations(store, lambda: Signer(keys, Policy(), "operator"))


@pytest.fixture
def use(store: Store, keys: KeyRing) -> InvitationUse:
    return InvitationUse(store, keys)


@pytest.fixture
def bulk(store: Store, invitations: Invitations) -> BulkInvitations:
    return BulkInvitations(store, invitations, by="test")


def people(count: int) -> list[Person]:
    rows = "\n".join(f"client-{number},staff" for number in range(count))
    return read_people(f"name,roles\n{rows}\n".encode(), "people.csv")[0]


def outcomes(parts: Sequence[Sequence[Done]]) -> list[str]:
    return [one.outcome for part in parts for one in part]


def test_each_has_a_link_that_opens(bulk: BulkInvitations, use: InvitationUse, store: Store) -> None:
    paper = Paper()
    assert outcomes(list(bulk.invite(people(PART + 5), {}, paper.note))) == ["invited"] * (PART + 5)
    assert len(paper.noted) == PART + 5
    for name in ("client-0", f"client-{PART + 4}"):
        opened = use.open(paper.noted[name].secrets.token, peer="192.0.2.7")
        assert (opened.client.name, opened.client.roles) == (name, ("staff",))
        assert use.open(paper.noted[name].secrets.code, peer="192.0.2.7").client.name == name
    assert isinstance(audit.verify(store), audit.Verified)
    with store.reading() as tx:
        entries = list(tx.audit.walk())
    said = [entry.action for entry in entries]
    assert [said.count(action) for action in ("client.add", "invitation.create")] == [PART + 5] * 2
    assert {entry.facts["roles"] for entry in entries if entry.action == "client.add"} == {"staff"}


def test_a_second_run_does_nothing(bulk: BulkInvitations, invitations: Invitations, store: Store) -> None:
    paper = Paper()
    list(bulk.invite(people(5), {}, paper.note))
    epoch, noted = store.epoch(), dict(paper.noted)
    assert outcomes(list(bulk.invite(people(5), paper.noted, paper.note))) == ["before"] * 5
    assert (store.epoch(), paper.noted) == (epoch, noted)
    assert invitations.list().total == 5
    # Without what was written down, too, nobody is invited twice.
    assert outcomes(list(bulk.invite(people(5), {}, paper.note))) == ["there"] * 5
    assert invitations.list().total == 5


def test_what_cannot_be_written_down_is_not_made(bulk: BulkInvitations, invitations: Invitations) -> None:
    paper = Paper()
    paper.breaks = True
    with pytest.raises(BadInput):
        list(bulk.invite(people(3), {}, paper.note))
    assert invitations.list().total == 0


def test_of_two_runs_at_once_one_writes_down_a_link_for_each(bulk: BulkInvitations, use: InvitationUse) -> None:
    papers = [Paper(), Paper()]

    def run(paper: Paper) -> list[str]:
        return outcomes(list(bulk.invite(people(PART), {}, paper.note)))

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, papers))
    assert sorted(one for some in done for one in some) == ["invited"] * PART + ["there"] * PART
    assert len(papers[0].noted) + len(papers[1].noted) == PART
    for noted in (one for paper in papers for one in paper.noted.values()):
        assert use.open(noted.secrets.token, peer="192.0.2.7").client.name == noted.name


def test_a_link_that_was_written_down_is_the_one_that_opens(
    bulk: BulkInvitations, use: InvitationUse, clock: Hands
) -> None:
    from mutualgate.enrolment.tokens import Secrets

    made = Noted("client-0", Secrets.make(second_factor=False), clock.now + timedelta(days=7))
    late = Noted("client-1", Secrets.make(second_factor=False), clock.now)
    paper = Paper()
    noted = {"client-0": made, "client-1": late}
    assert outcomes(list(bulk.invite(people(2), noted, paper.note))) == ["invited", "invited"]
    assert list(paper.noted) == ["client-1"]  # the other one would have been expired
    assert use.open(made.secrets.token, peer="192.0.2.7").client.name == "client-0"


def test_who_is_there_is_left_as_it_is(bulk: BulkInvitations, clients: Clients, invitations: Invitations) -> None:
    clients.add("client-1", roles=["admin"], contact="x")
    paper = Paper()
    assert outcomes(list(bulk.invite(people(3), {}, paper.note))) == ["invited", "there", "invited"]
    assert clients.get("client-1").roles == ("admin",)
    assert invitations.list().total == 2
    assert "client-1" not in paper.noted


@pytest.fixture
def clients(store: Store) -> Clients:
    return Clients(store)


@pytest.mark.parametrize("times", [{"life": timedelta(days=367)}, {"validity": timedelta(minutes=59)}])
def test_no_link_and_no_certificate_is_for_ever(
    bulk: BulkInvitations, invitations: Invitations, times: dict[str, timedelta]
) -> None:
    with pytest.raises(BadInput, match="cannot be"):
        list(bulk.invite(people(1), {}, Paper().note, **times))  # type: ignore[arg-type]  # these two are durations
    assert invitations.list().total == 0


def test_they_are_only_added(bulk: BulkInvitations, clients: Clients, invitations: Invitations, store: Store) -> None:
    clients.add("client-1")
    with store.reading() as tx:
        begun = len(list(tx.audit.walk()))
    assert outcomes(list(bulk.add(people(3)))) == ["added", "there", "added"]
    with store.reading() as tx:
        assert [entry.action for entry in tx.audit.walk()][begun:] == ["client.add"] * 2
    assert outcomes(list(bulk.add(people(3)))) == ["there"] * 3
    assert clients.list().total == 3
    assert invitations.list().total == 0


def test_letters_need_a_mail_server_before_anything_is_done(bulk: BulkInvitations, clients: Clients) -> None:
    one = read_people(b"name,mail\nanna,anna@example.com\n", "people.csv")[0]
    with pytest.raises(BadInput):
        list(bulk.invite(one, {}, Paper().note))
    assert clients.list().total == 0
