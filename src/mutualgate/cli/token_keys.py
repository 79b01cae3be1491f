"""`mutualgate token-key`: what signs the tokens that tell services who a client is."""

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import emit

app = Group("The key that signs tokens for services.")


@app.callback()
def group() -> None:
    """The key that signs tokens for services."""


@app.command("replace")
def replace(dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Sign with a new key from now on, and publish no other: for when somebody else may have the old one.

    Without need there is nothing to do: keys are rotated by themselves, with an overlap.

    Example:
    mutualgate token-key replace
    """
    from mutualgate.app import Folder, change

    made, force = change(Folder(dir), lambda services: services.token_keys.replace())
    text = f"Tokens are signed with the key {made.key_id}.\n{force.sentence[0].upper()}{force.sentence[1:]}."
    emit({"key_id": made.key_id, **force.facts}, text, json)
