"""Single values that belong to the store and not to the configuration."""

from sqlalchemy import Connection, bindparam, insert, select, update

from mutualgate.store.schema import setting

_VALUE = select(setting.c.value).where(setting.c.name == bindparam("name"))


class Settings:
    """Names and texts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> str | None:
        """The value."""
        return self._connection.execute(_VALUE, {"name": name}).scalar_one_or_none()

    def put(self, name: str, value: str) -> None:
        """Sets it."""
        if self.get(name) is None:
            self._connection.execute(insert(setting).values(name=name, value=value))
        else:
            self._connection.execute(update(setting).where(setting.c.name == name).values(value=value))
