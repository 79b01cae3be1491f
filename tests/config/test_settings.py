"""The table of settings: every row is complete and says the truth about itself."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from mutualgate.config import (
    AuthorityConfig,
    Config,
    GateConfig,
    MailConfig,
    NoticesConfig,
    RegisterConfig,
    RouteConfig,
    SiteConfig,
    Timeouts,
    TracingConfig,
    UpstreamConfig,
    UpstreamEjection,
    UpstreamHealth,
    UpstreamRetries,
    UpstreamTimeouts,
    UpstreamTls,
)
from mutualgate.config.kinds import Unfit
from mutualgate.config.settings import ROOT, Setting, Table, tables

ROWS = [pytest.param(setting, id=f"{table.path}.{setting.key}") for table in tables() for setting in table.settings]
HERE = Path("/folder")


def value_of(text: str) -> object:
    return tomllib.loads(f"value = {text}")["value"]


@pytest.mark.parametrize("setting", ROWS)
def test_every_setting_has_a_help_and_an_example_that_can_be_read(setting: Setting) -> None:
    assert setting.help.endswith(".")
    setting.kind.read(value_of(setting.example), HERE)


@pytest.mark.parametrize("setting", ROWS)
def test_every_setting_has_a_default_that_can_be_read_or_says_what_holds(setting: Setting) -> None:
    if setting.default is not None:
        setting.kind.read(value_of(setting.default), HERE)
        assert setting.otherwise is None
        assert setting.example != setting.default
    elif setting.otherwise is None:
        assert setting.key in {"path", "upstream", "name", "hosts", "servers"}


@pytest.mark.parametrize("setting", ROWS)
def test_every_setting_refuses_another_kind_of_value(setting: Setting) -> None:
    with pytest.raises(Unfit):
        setting.kind.read({"a": 1}, HERE)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("gate", GateConfig),
        ("gate.timeouts", Timeouts),
        ("authority", AuthorityConfig),
        ("mail", MailConfig),
        ("notices", NoticesConfig),
        ("register", RegisterConfig),
        ("tracing", TracingConfig),
        ("upstreams", UpstreamConfig),
        ("upstreams.timeouts", UpstreamTimeouts),
        ("upstreams.tls", UpstreamTls),
        ("upstreams.retries", UpstreamRetries),
        ("upstreams.ejection", UpstreamEjection),
        ("upstreams.health", UpstreamHealth),
        ("sites", SiteConfig),
        ("sites.routes", RouteConfig),
    ],
)
def test_the_table_and_the_values_made_of_it_name_the_same(path: str, shape: type) -> None:
    (table,) = [table for table in tables() if table.path == path]
    named = [setting.key for setting in table.settings] + [inner.key for inner in table.tables]
    assert named == [field.name for field in fields(shape)]


def test_every_table_is_in_the_configuration() -> None:
    assert [table.key for table in ROOT.tables] == [field.name for field in fields(Config) if field.name != "file"]
    assert all(isinstance(table, Table) and table.help.endswith(".") for table in tables())
