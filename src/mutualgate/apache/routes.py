"""A virtual host -> the routes of a site: where the requests of a path go, who may pass, what is done to them.

Where a rule is not understood, the route is shut, never open.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mutualgate.apache import fields
from mutualgate.apache.access import asked_by
from mutualgate.apache.grants import OPEN, Grant, all_of
from mutualgate.apache.pools import Pool, pool_of
from mutualgate.apache.report import Report, shortened
from mutualgate.apache.rewriting import Target
from mutualgate.apache.toml import array, string, table
from mutualgate.apache.vhost import Area, VirtualHost
from mutualgate.config import FieldRules
from mutualgate.config.kinds import Unfit
from mutualgate.config.messages import Elsewhere
from mutualgate.config.network import UrlPath

HERE: Final = Path("/")


@dataclass
class Route:
    """One `[[sites.routes]]`."""

    path: str
    target: Target
    pool: Pool | None
    """None for a redirect."""
    mode: str
    roles: list[str]
    clients: list[str]
    max_body_bytes: int | None = None
    change: tuple[str, str] | None = None
    """`strip_prefix` or `replace_prefix`, and its value."""
    redirect: str | None = None
    keeps_path: bool = True
    request: FieldRules = field(default_factory=FieldRules)
    response: FieldRules = field(default_factory=FieldRules)
    identity: tuple[str, ...] = ()
    comment: str | None = None

    def toml(self, upstream: str | None, site_mode: str) -> list[str]:
        """`upstream` is what the file calls the pool."""
        lines = [f"# {self.comment}"] if self.comment else []
        lines += ["[[sites.routes]]", f"path = {string(self.path)}"]
        if upstream is not None:
            lines.append(f"upstream = {string(upstream)}")
        if self.redirect is not None:
            lines += [f"redirect = {string(self.redirect)}", f"redirect_status = {self.target.status}"]
            if not self.keeps_path:
                lines.append("redirect_keep_path = false")
        if self.change:
            lines.append(f"{self.change[0]} = {string(self.change[1])}")
        if self.mode != site_mode:
            lines.append(f"client_certificate = {string(self.mode)}")
        if self.roles:
            lines.append(f"roles = {array(self.roles)}")
        if self.clients:
            lines.append(f"clients = {array(self.clients)}")
        if self.identity:
            lines.append(f"identity = {array(self.identity)}")
        if self.max_body_bytes:
            lines.append(f'max_body_bytes = "{min(self.max_body_bytes, 1 << 40)} B"')
        for name, rules in (("request_headers", self.request), ("response_headers", self.response)):
            parts = [f"{key} = {table(pairs)}" for key, pairs in (("set", rules.set), ("add", rules.add)) if pairs]
            parts += [f"remove = {array(rules.remove)}"] if rules.remove else []
            if parts:
                lines.append(f"{name} = {{{', '.join(parts)}}}")
        return lines

    @property
    def leads(self) -> str:
        """Where requests go, for a sentence."""
        there = f"goes to {', '.join(self.pool.servers)}" if self.pool else f"is redirected to {self.redirect}"
        match self.change:
            case ("strip_prefix", prefix):
                return f"{there}, without {prefix}"
            case (_, prefix):
                return f"{there}, as {prefix}"
        return there


class Routes:
    """Those of one virtual host."""

    def __init__(self, host: VirtualHost, mode: str, response: timedelta | None, report: Report) -> None:
        self.host = host
        self.mode = mode
        self.response = response
        """How long the gate waits for services that have no time of their own."""
        self.report = report
        self.leave = report.leave

    def all(self) -> list[Route]:
        host = self.host
        targets = self.targets()
        paths = {target.path for target in targets} | {area.path for area in host.areas}
        routes = []
        for path in sorted(paths):
            target = _covering(targets, path)
            areas = [area for area in host.areas if _covers(area.path, path)]
            if target is None:
                self.unserved(path)
                continue
            route = self.leading(path, target)
            if route is None:
                routes += self.elsewhere(target, targets) if path == target.path else []
                continue
            if unfit := _unfit(path):
                here = [area for area in areas if area.path == path]
                asked = [asked for area in here if (asked := all_of([area.always, asked_by(area.directive)])) != OPEN]
                at = here[0].directive if here else target.directive
                host.shut += asked
                if not asked:
                    self.leave(at, f"as a path of a route: {unfit.problem}", unfit.fix or "Choose another path.")
                continue
            self.admit(route, areas)
            self.change_fields(route, areas)
            routes.append(route)
        kept = {route.path: route for route in routes if not _superfluous(route, routes)}
        if host.shut:
            self.shut(kept)
        self.reverses(kept.values())
        return [kept[path] for path in sorted(kept)]

    # --- where to ---

    def targets(self) -> list[Target]:
        """Those that have an effect: httpd takes the first one that covers a path."""
        kept: list[Target] = []
        every = [target for target in self.host.destinations if not target.upgrades]
        for target in every:
            same = next((k for k in kept if k.path == target.path), None)
            if same and _scheme(same.url) in ("ws", "wss"):
                continue  # the route passes WebSockets on as well
            hidden = same or next((k for k in kept if _covers(k.path, target.path) and not k.alone), None)
            if hidden is not None and hidden.url == "!" and target in self.host.redirects:
                # httpd sends it nowhere by ProxyPass, so that a Redirect finds it.
                kept.insert(kept.index(hidden), target)
            elif hidden is not None:
                self.leave(
                    target.directive,
                    f"it has no effect in httpd either: line {hidden.directive.place.line} covers it and comes first",
                    "Drop it, or add it as a route: in the gate the longest path wins.",
                )
            elif target.alone and (other := next((k for k in every if self.also_serves(k, target)), None)):
                self.leave(
                    target.directive,
                    "a route is for a path and all below it, and here line "
                    f"{other.directive.place.line} has the rest of {target.path}",
                    f"Let the service redirect {target.path}.",
                )
            else:
                kept.append(target)
        # Those for one path alone come last, the longest of them first: a route is for all below its path as well.
        kept.sort(key=lambda target: (target.alone, -len(target.path) * target.alone))
        for target in (target for target in self.host.destinations if target.upgrades):
            whole = _covering(kept, target.path)
            if whole is None or _place(whole.url) != _place(target.url):
                self.leave(
                    target.directive,
                    "a route passes WebSockets on to where all requests of its path go",
                    "Give them a path of their own, with a route.",
                )
        return kept

    def also_serves(self, other: Target, target: Target) -> bool:
        """Whether requests below `target` are for `other`, had the target not got them all."""
        return not other.alone and _covers(other.path, target.path) and other.url != "!"

    def leading(self, path: str, target: Target) -> Route | None:
        """A route for `path`, which `target` covers, that is open; None where the gate cannot send its requests."""
        if target.status is not None:
            return self.redirecting(path, target)
        if target.url == "!":
            return None
        host, d = self.host, target.directive
        found = pool_of(d, target.url, target.options, host.balancers, host.trust, self.report)
        if found is None:
            return None
        pool, there = found
        own = host.waits.response
        if pool.response is None and own != self.response:
            pool = replace(pool, response=own)
        return self.changed(Route(path, target, pool, self.mode, [], [], host.max_body_bytes), there)

    def redirecting(self, path: str, target: Target) -> Route | None:
        d, url = target.directive, target.url
        if target.status is None or target.status >= 400:
            return None
        place = urlsplit(url)
        try:
            Elsewhere().read(url, HERE)
        except Unfit as unfit:
            self.leave(d, f"as a redirect: {unfit.problem}", unfit.fix or "Add a [[sites.routes]] with redirect.")
            return None
        if target.status not in (301, 302, 303, 307, 308) or (target.keeps_rest and (place.query or place.fragment)):
            self.leave(d, "the gate has no such redirect", "Let the service do it.")
            return None
        route = Route(path, target, None, self.mode, [], [], keeps_path=target.keeps_rest)
        if target.keeps_rest:
            route.redirect = f"https://{place.netloc}" if place.netloc else "/"
            return self.changed(route, place.path)
        route.redirect = url
        if path == target.path:
            beyond = f"what is below {path} is redirected as well, and the" if target.alone else "the"
            self.leave(
                d,
                f"{beyond} query of the request is not added to the address",
                "Nothing, if nobody misses it; else let the service redirect.",
            )
        return route

    def changed(self, route: Route, there: str) -> Route | None:
        """`route` with the path that its requests get in place of that of the target, which is `there`."""
        target = route.target
        before, after = target.path.rstrip("/"), there.rstrip("/")
        if before == after:
            return route
        path = after + route.path.rstrip("/").removeprefix(before)
        route.change = ("replace_prefix", path) if after else ("strip_prefix", before)
        try:
            UrlPath().read(route.change[1], HERE)
        except Unfit as unfit:
            self.leave(
                target.directive,
                f"it sends {target.path} to {there} there, and as a path of the gate's: {unfit.problem}",
                unfit.fix or "Let the service answer under a path of letters and digits.",
            )
            return None
        return route

    def elsewhere(self, target: Target, targets: list[Target]) -> list[Route]:
        """A path that goes to nothing the gate can reach: a route shuts it, as the service above never saw its
        requests."""
        d = target.directive
        above = [t for t in targets if _covers(t.path, target.path)]
        pool = next((r.pool for t in above if (r := self.leading(t.path, t)) and r.pool), None)
        shut = ""
        routes = []
        if pool is not None and _unfit(target.path):
            self.host.shut.append(Grant(unknown=True, because=(d,)))
        elif pool is not None:
            role = f"import-{d.place.line}"
            shut = f" Until then {target.path} is shut: no client has the role {role}."
            comment = f"{d.place}: {shortened(d.text)}"
            routes = [Route(target.path, target, pool, "required", [role], [], comment=comment)]
        if target.url == "!":
            self.leave(
                d,
                "httpd answers this path itself, and the gate serves no files",
                f"Serve it by a service, with a route of its own.{shut}",
            )
        elif target.status is not None and target.status >= 400:
            self.leave(d, "the gate answers no path with a status of your choice", shut.strip() or "Nothing.")
        elif shut:
            self.leave(d, "the service above never saw these requests", shut.strip())
        return routes

    def unserved(self, path: str) -> None:
        if any(_covers(path, target.path) for target in self.host.destinations):
            return  # it is about what is below, and is said there
        for area in self.host.areas:
            if area.path == path:
                self.leave(
                    area.directive,
                    "no ProxyPass leads there: httpd answers it itself, and the gate serves no files",
                    "Serve it by a service, with a route of its own.",
                )

    def reverses(self, routes: Iterable[Route]) -> None:
        """ProxyPassReverse matters only where the service answers under another path than its clients ask for."""
        changed = [route for route in routes if route.change and route.pool]
        for directive, path in self.host.reverses:
            clean = path.rstrip("/") or "/"
            for route in changed:
                if route.path == clean:
                    told = " It is told it in X-Forwarded-Prefix." if route.change and route.change[0][0] == "s" else ""
                    self.leave(
                        directive,
                        "the gate leaves Location and cookies as the service sends them",
                        f"See that it knows {clean} as its public path, or sends relative addresses.{told}",
                    )

    # --- who may ---

    def admit(self, route: Route, areas: list[Area]) -> None:
        """httpd merges the areas that cover a path in the order of the file: the last `Require` wins, each `SSLRequire`
        holds. What the handshake required for the whole host, no area can take back."""
        grant = OPEN
        for area in areas:
            route.mode = area.mode or route.mode
            grant = area.grant or grant
            route.max_body_bytes = area.max_body_bytes or route.max_body_bytes
        if self.mode == "required":
            route.mode = "required"
        if route.pool is None:
            route.max_body_bytes = None
        grant = all_of([grant, *(area.always for area in areas)])
        if grant.unknown or grant.nobody:
            self.close(route, grant)
        elif grant.certificate:
            route.mode = "required"
            route.roles, route.clients = sorted(grant.roles), sorted(grant.clients)
            if grant.named:
                self.named(grant)

    def close(self, route: Route, grant: Grant) -> None:
        directive = grant.because[0]
        role = f"import-{directive.place.line}"
        route.mode, route.roles = "required", [role]
        route.comment = f"{directive.place}: {shortened(directive.text)}"
        why = "nobody may pass there" if grant.nobody else "the gate has no such rule"
        do = f"{route.path} is shut: no client has the role {role}. Give it to those who may pass, or change the route."
        for cause in grant.because:
            self.leave(cause, why, do)

    def named(self, grant: Grant) -> None:
        for directive in grant.because:
            if grant.clients:
                self.leave(
                    directive,
                    "the gate knows clients by the names that you give them, not by those in a certificate",
                    f"Name the clients {', '.join(sorted(grant.clients))}, or change `clients` of the route.",
                )
            if grant.roles:
                roles = " or ".join(sorted(grant.roles))
                issuer = (
                    " For all of an authority: `mutualgate ca adopt --cert FILE --role ROLE`."
                    if "_I_DN" in directive.text
                    else ""
                )
                self.leave(
                    directive,
                    "the gate reads no roles out of certificates: they are given to clients",
                    f"Give the role {roles} to the clients whom it means: `mutualgate client roles NAME --add ROLE`."
                    f"{issuer}",
                )

    def shut(self, routes: dict[str, Route]) -> None:
        """Rules for paths that cannot be told: the whole site is as strict as they are."""
        grant = all_of(self.host.shut)
        closed = grant.unknown or grant.nobody or grant.named
        first = grant.because[0]
        role = f"import-{first.place.line}"
        for route in routes.values():
            route.mode = "required"
            if closed:
                route.roles, route.clients = [role], []
                route.comment = f"{first.place}: {shortened(first.text)}"
        effect = f"nobody passes without the role {role}" if closed else "every path requires a certificate"
        for directive in grant.because:
            if directive.is_("ifdefine"):
                why = f"it closes what is open without it; so that nothing is more open than it may be, {effect}"
                do = "If it does not hold on your server, take all of it away and import again."
            else:
                why = f"no route can name the requests that it is about; so that none of them is open, {effect}"
                do = "Write the paths that it means as [[sites.routes]] with their rule, and open the others."
            self.leave(directive, why, do)

    # --- what is done to them ---

    def change_fields(self, route: Route, areas: list[Area]) -> None:
        """httpd applies those of the host, then those of each area."""
        edits = [*self.host.edits, *(edit for area in areas for edit in area.edits)]
        route.response = fields.rules(edits, "response", self.report)
        if route.pool is not None:
            route.request = fields.rules(edits, "request", self.report)
            route.identity = fields.dialects([*self.host.said, *(one for area in areas for one in area.said)])


def _unfit(path: str) -> Unfit | None:
    """Why no route can have the path."""
    try:
        UrlPath().read(path, HERE)
    except Unfit as unfit:
        return unfit
    return None


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _place(url: str) -> str:
    """The host and port, or the socket, in the address of a service."""
    return url.partition("|")[0] if url.startswith("unix:") else url.partition("://")[2].partition("/")[0].lower()


def _covers(path: str, other: str) -> bool:
    return path in ("/", other) or other.startswith(path + "/")


def _covering(targets: Iterable[Target], path: str) -> Target | None:
    return next((target for target in targets if _covers(target.path, path)), None)


def _superfluous(route: Route, routes: list[Route]) -> bool:
    """Whether the route above says the same."""
    above = [r for r in routes if r is not route and _covers(r.path, route.path)]
    if not above:
        return False
    nearest = max(above, key=lambda r: len(r.path))
    if (route.change or route.redirect) and route.target is not nearest.target:
        return False
    same = (
        "pool",
        "redirect",
        "keeps_path",
        "mode",
        "roles",
        "clients",
        "max_body_bytes",
        "request",
        "response",
        "identity",
    )
    if bool(route.change) != bool(nearest.change):
        return False
    return all(getattr(route, name) == getattr(nearest, name) for name in same)
