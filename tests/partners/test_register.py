"""An operator's program is asked whether providers still have their licences: only `withdrawn` changes anything."""

from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Hands

from mutualgate.config import RegisterConfig
from mutualgate.model.partner import MemberState, Partner, PartnerAdmits, PartnerProfile
from mutualgate.partners.register import Register, Standing
from mutualgate.partners.service import Partners
from mutualgate.store import Store, Transaction

ONE, TWO = "PSDBE-NBB-1", "PSDBE-NBB-2"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Withdrawn are those in the file `withdrawn`."""
    path = tmp_path / "check-register"
    lost = tmp_path / "withdrawn"
    path.write_text(f'#!/bin/sh\ngrep -qx "$1" {lost} && echo withdrawn || echo active\n')
    path.chmod(0o755)
    lost.touch()
    return path


@pytest.fixture
def told() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def bank(store: Store) -> Partners:
    service = Partners(store, by="test")
    names = [f"organization:{one}" for one in (ONE, TWO)]
    service.add("bank", names=names, admits=PartnerAdmits.RULE, profile=PartnerProfile.PSD2)
    service.add("acme", names=["dns:*.acme.example"])
    return service


def register(store: Store, command: Path | None, told: list[tuple[str, str, str]], seconds: float = 20) -> Register:
    def tell(tx: Transaction, partner: Partner, subject: str, body: str, once: str) -> None:
        told.append((str(partner.name), subject, body))

    return Register(store, RegisterConfig(command, timedelta(hours=24), timedelta(seconds=seconds)), tell)


def test_who_lost_the_licence_is_kept_out_and_stays_so(
    bank: Partners, store: Store, clock: Hands, program: Path, told: list[tuple[str, str, str]]
) -> None:
    asked = register(store, program, told)
    assert [one.identifier for one in asked.due()] == [ONE, TWO]
    assert [asked.check(one) for one in asked.due()] == [Standing.ACTIVE, Standing.ACTIVE]
    assert asked.due() == []
    clock.move(timedelta(days=-300))
    assert [one.identifier for one in asked.due()] == [ONE, TWO], "the clock was set back"
    clock.move(timedelta(days=300))
    assert bank.members.list("bank") == []
    program.with_name("withdrawn").write_text(f"{TWO}\n")
    clock.move(timedelta(hours=24))
    assert [asked.check(one) for one in asked.due()] == [Standing.ACTIVE, Standing.WITHDRAWN]
    [member] = bank.members.list("bank")
    assert member.client is not None
    assert (member.member.name, member.member.state, member.client.suspended) == (
        f"organization:{TWO}", MemberState.ACTIVE, True
    )  # fmt: skip
    [(partner, subject, body)] = told
    assert (partner, subject) == ("bank", "A payment service provider's licence was withdrawn")
    assert f"mutualgate partner member resume bank organization:{TWO}" in body
    # R27: that a register has changed its mind lets nobody in.
    program.with_name("withdrawn").write_text("")
    clock.move(timedelta(hours=24))
    assert [one.identifier for one in asked.due()] == [ONE]
    bank.suspend("bank")
    assert asked.due() == []


def test_who_lost_it_is_kept_out_as_the_client_that_it_is(
    bank: Partners, store: Store, program: Path, told: list[tuple[str, str, str]]
) -> None:
    made = bank.members.add("bank", f"organization:{TWO}").client
    program.with_name("withdrawn").write_text(f"{TWO}\n")
    asked = register(store, program, told)
    for one in asked.due():
        asked.check(one)
    [member] = bank.members.list("bank")
    assert made is not None
    assert member.client is not None
    assert (member.client.id, member.client.suspended) == (made.id, True)


def test_nobody_is_kept_out_without_a_word(bank: Partners, store: Store, program: Path) -> None:
    def fails(tx: Transaction, partner: Partner, subject: str, body: str, once: str) -> None:
        raise RuntimeError("the process ends here")

    program.with_name("withdrawn").write_text(f"{TWO}\n")
    asked = Register(store, RegisterConfig(program, timedelta(hours=24), timedelta(seconds=20)), fails)
    with pytest.raises(RuntimeError):
        asked.check(asked.due()[1])
    told: list[tuple[str, str, str]] = []
    again = register(store, program, told)
    assert again.check(again.due()[1]) is Standing.WITHDRAWN
    assert len(told) == 1


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", "ended with 3"),
        ("echo withdrawn; exit 1", "ended with 1"),
        ("echo unknown", "neither active nor withdrawn"),
        ("true", "neither active nor withdrawn"),
        ("sleep 30", "did not end in time"),
        (None, "cannot be run"),
    ],
)
def test_a_register_that_does_not_say_changes_nothing_and_is_told_of(
    bank: Partners, store: Store, program: Path, told: list[tuple[str, str, str]], script: str | None, says: str
) -> None:
    if script is None:
        program.unlink()
    else:
        program.write_text(f"#!/bin/sh\n{'exec ' if script.startswith('sleep') else ''}{script}\n")
    asked = register(store, program, told, seconds=0.5 if script == "sleep 30" else 20)
    assert asked.check(asked.due()[0]) is None
    [(partner, subject, body)] = told
    assert (partner, subject) == ("bank", "A register could not be asked")
    assert says in body
    assert bank.members.list("bank") == []


def test_without_a_program_nobody_is_asked(bank: Partners, store: Store) -> None:
    assert register(store, None, []).due() == []
