"""What is in force: the configuration, the certificates and the trust by which the data plane runs, and what follows.

Knows no loop and no signal: whoever calls does so from one thread at a time. What cannot be used is raised, and all
stays as it was.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mutualgate import snapshot
from mutualgate.app.checks import certificates_fit, fields_fit, refuse_logs
from mutualgate.app.given import PLAIN, TLS, Given, place
from mutualgate.app.server_certificates import SiteCertificate, files_of, reissued, reread, site_certificates
from mutualgate.app.services import Services
from mutualgate.app.settings import gate_settings
from mutualgate.app.upstream_tls import files_of_upstreams, upstreams_fit
from mutualgate.app.watched import Watched
from mutualgate.authorities.token_keys import TokenKey
from mutualgate.config import Config, Finding
from mutualgate.errors import BadInput, MutualgateError
from mutualgate.gate import DataPlane
from mutualgate.gate.settings import GateSettings
from mutualgate.model.change import ChangeKind

log = logging.getLogger("mutualgate")


class InForce:
    """The state of one data plane, which it makes."""

    def __init__(
        self,
        services: Services,
        sockets: Path,
        given: Sequence[Given],
        republish: Callable[[], None],
        *,
        succeeds: bool = False,
    ) -> None:
        """Reads everything. The gate's own services listen in the folder `sockets`; `given` are sockets that listen
        already; `republish` is called when lists and keys are to be published anew. Where it `succeeds` another
        process, there is a mutualgate.toml. Raises `BadInput`."""
        self._services = services
        self._sockets = sockets
        self._republish = republish
        self._watched = Watched()
        self._shown: list[Path] = []
        """The files of the certificates in force: watched, whatever becomes of mutualgate.toml."""
        self.config = self._read_config(there=succeeds)
        refuse_logs(self.config)
        services.take(self.config)
        self.placed = place(given, self.config)
        self._certificates = site_certificates(services, self.config)
        self._shown = files_of(self.config)
        services.site_ends = lambda: self.ends
        self._token_key = self._find_token_key(self.config)
        settings = self._gate_settings(self.config, self._certificates, self._token_key)
        self._sites = snapshot.site_records(self.config)
        self.plane = DataPlane(settings, snapshot.build(services.store, self._sites))

    @property
    def ends(self) -> Mapping[str, datetime]:
        """The last second of each site's certificate."""
        return {site.name: site.not_after for site in self._certificates}

    def has_changed(self) -> bool:
        """Whether one of the files that were read is another now, and none is being written."""
        return self._watched.changed()

    def doubt(self) -> None:
        """The files that were read last may do next time as they are: they count as changed."""
        self._watched.doubt()

    def sync(self) -> int:
        """Takes over what changed in the store; returns the epoch in force, which has it."""
        store = self._services.store
        authorities_changed = snapshot.has_changed(store, self.plane.epoch, ChangeKind.AUTHORITY)
        delta = snapshot.delta(store, self.plane.epoch)
        if delta is None:
            self.plane.replace(snapshot.build(store, self._sites))
        else:
            self.plane.apply(delta)
        if self._find_token_key(self.config) != self._token_key:
            self._put_in_force(self.config, self._certificates)
        if authorities_changed:
            # A new authority signs the sites' certificates, too: who trusts it alone should not have to wait.
            try:
                self.renew()
            except MutualgateError as error:
                log.error("the gate's certificate stays as it was, and is tried again: %s", error)
        return self.plane.epoch

    def reload(self) -> None:
        """Reads mutualgate.toml again and puts it in force. Raises `BadInput`, and what the store raises."""
        config = self._read_config(there=True)
        fixed = _fixed(self.config, config)
        if fixed:
            raise BadInput(
                f"{', '.join(fixed)} cannot change while the gate runs",
                where=str(config.file),
                fix="Start it again without turning anybody away: mutualgate restart",
            )
        self._put_in_force(config, site_certificates(self._services, config))

    def renew(self) -> bool:
        """Makes certificates that are due anew; returns whether any was, or the token key.

        By the configuration in force, whatever the file says by now.
        """
        return self._show(reissued(self._services, self.config, self._certificates))

    def reread(self) -> bool:
        """Reads certificates again; returns whether any is another.

        By the configuration in force: what is wrong in the file must not keep out a certificate that was put in place
        of another.
        """
        return self._show(reread(self.config, self._certificates))

    def _show(self, certificates: list[SiteCertificate]) -> bool:
        """Whether they are others than those in force; then they are in force now."""
        if certificates == self._certificates and self._find_token_key(self.config) == self._token_key:
            return False
        self._put_in_force(self.config, certificates)
        return True

    def _put_in_force(self, config: Config, certificates: list[SiteCertificate]) -> None:
        """What is in force already stays there: each part of a reload takes the core from those who serve."""
        token_key = self._find_token_key(config)
        settings, sites = self._gate_settings(config, certificates, token_key), snapshot.site_records(config)
        if sites != self._sites:
            self._judge_anew(settings, sites)
        elif not self.plane.has(settings):
            self.plane.configure(settings, ())
        if (config.authority, token_key) != (self.config.authority, self._token_key):
            self._republish()
        if config != self.config:
            self._services.take(config)
        self.config, self._certificates, self._token_key = config, certificates, token_key
        self._shown = files_of(config)

    def _judge_anew(self, settings: GateSettings, sites: list[snapshot.SiteRecord]) -> None:
        """An epoch of its own: every open connection is judged again, by the new routes."""
        store, since = self._services.store, self.plane.epoch
        with store.transaction() as tx:
            is_behind = tx.changes.epoch() != since
            epoch = tx.changes.note(ChangeKind.SITES, "")
        delta = snapshot.delta(store, since, sites) if is_behind else snapshot.delta_of_sites(epoch, sites)
        if delta is None:
            self.plane.configure(settings, snapshot.build(store, sites), anew=True)
        else:
            self.plane.configure(settings, [delta])
        self._sites = sites

    def _gate_settings(
        self, config: Config, certificates: Sequence[SiteCertificate], token_key: TokenKey | None
    ) -> GateSettings:
        listeners = self.placed.settled[TLS].addresses, self.placed.settled[PLAIN].addresses
        return gate_settings(config, [site.settings for site in certificates], self._sockets, token_key, listeners)

    def _find_token_key(self, config: Config) -> TokenKey | None:
        return self._services.token_keys.signing() if config.signs_tokens else None

    def _read_config(self, *, there: bool = False) -> Config:
        """Notes each file before it is read, so that what changes meanwhile is read again."""

        def note(config: Config) -> list[Finding]:
            self._watched.add([*files_of(config), *files_of_upstreams(config)])
            return []

        self._watched.note([self._services.folder.config, *self._shown])
        return self._services.read_config(note, certificates_fit, fields_fit, upstreams_fit, there=there)


def _fixed(before: Config, after: Config) -> list[str]:
    """The settings that differ and can only be read at a start."""
    names = ("listen", "plain_listen", "ops_listen", "workers")
    return [f"gate.{name}" for name in names if getattr(before.gate, name) != getattr(after.gate, name)]
