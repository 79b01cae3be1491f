"""mutualgate.toml: one table of settings, and from it the reader, its messages, the reference page and the first file.

    shape       what a configuration is, once read
    settings    the table
    kinds       values: durations, sizes, words
    network     values: addresses, hosts, upstreams, paths
    messages    values: header rules, redirects
    posting     values: mailboxes, mail servers, webhooks, collectors
    positions   where keys and values stand in the file
    rules       what settings must not say together
    reader      load, problems
    overrides   what flags change
    page        the reference page and the default file

Knows the file alone. Whether a certificate is there and fits its key is asked by whoever loads it, as a `Check`.
"""

from .kinds import Rate
from .messages import FieldRules
from .network import DEMO, PORTAL, Address, Upstream
from .overrides import with_overrides
from .page import default_file, reference
from .positions import Place
from .posting import Server, is_mailbox
from .reader import Check, Problem, load, parse, problems
from .rules import Finding
from .settings import DEFAULT_HOSTS
from .shape import (
    SYSTEM,
    AccessFormat,
    AuthorityConfig,
    Balance,
    CaHints,
    Config,
    Dialect,
    GateConfig,
    GateLimits,
    JwtConfig,
    MailConfig,
    Mode,
    NoticesConfig,
    OnRefusal,
    PortalConfig,
    Protocol,
    RegisterConfig,
    RouteConfig,
    RouteLimits,
    Security,
    SiteConfig,
    SiteLimits,
    Timeouts,
    TracingConfig,
    UpstreamConfig,
    UpstreamEjection,
    UpstreamHealth,
    UpstreamRetries,
    UpstreamTimeouts,
    UpstreamTls,
)

__all__ = [
    "DEFAULT_HOSTS",
    "DEMO",
    "PORTAL",
    "SYSTEM",
    "AccessFormat",
    "Address",
    "AuthorityConfig",
    "Balance",
    "CaHints",
    "Check",
    "Config",
    "Dialect",
    "FieldRules",
    "Finding",
    "GateConfig",
    "GateLimits",
    "JwtConfig",
    "MailConfig",
    "Mode",
    "NoticesConfig",
    "OnRefusal",
    "Place",
    "PortalConfig",
    "Problem",
    "Protocol",
    "Rate",
    "RegisterConfig",
    "RouteConfig",
    "RouteLimits",
    "Security",
    "Server",
    "SiteConfig",
    "SiteLimits",
    "Timeouts",
    "TracingConfig",
    "Upstream",
    "UpstreamConfig",
    "UpstreamEjection",
    "UpstreamHealth",
    "UpstreamRetries",
    "UpstreamTimeouts",
    "UpstreamTls",
    "default_file",
    "is_mailbox",
    "load",
    "parse",
    "problems",
    "reference",
    "with_overrides",
]
