"""Runs the page's keys.js in node, with the vendored script beside it, as a browser has them. One process, many calls.

with PageKeys() as page:
    key = page.make_key("p256")                       # a handle: the key stays there
    request = page.csr(key, "alice")
    data = page.p12(key, chain_pem, label="x", password=..., profile="compat")
"""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

STATIC = Path(__file__).resolve().parents[1] / "src" / "mutualgate" / "portal" / "static"


def node_is_fit() -> bool:
    """Whether there is a node that has WebCrypto for everybody."""
    if shutil.which("node") is None:
        return False
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    return int(version.strip().lstrip("v").split(".")[0]) >= 20


needs_node = pytest.mark.skipif(
    not node_is_fit(), reason="node 20 or newer is not installed, so the page's script cannot run"
)

_DRIVER = """
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import vm from "node:vm";
globalThis.window = globalThis;
vm.runInThisContext(readFileSync(process.argv[1] + "/forge.min.js", "utf8"));  // a classic script, as in the page
const source = readFileSync(process.argv[1] + "/keys.js", "utf8");
const page = await import("data:text/javascript;base64," + Buffer.from(source).toString("base64"));
const keys = [];
const calls = {
  makeKey: async ({ kind }) => keys.push(await page.makeKey(kind)) - 1,
  csr: ({ key, name }) => page.csr(keys[key], { commonName: name }),
  password: ({ count }) => Array.from({ length: count }, () => page.password()),
  p12: async ({ key, ...rest }) => Buffer.from(await page.p12({ key: keys[key], ...rest })).toString("base64"),
  randomly: ({ bytes }) => {
    const real = crypto.getRandomValues;
    let at = 0;
    crypto.getRandomValues = (array) => {
      for (let i = 0; i < array.length; i++) array[i] = bytes[at++ % bytes.length];
      return array;
    };
    try { return page.password(); } finally { crypto.getRandomValues = real; }
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...given } = JSON.parse(line);
  let answer;
  try { answer = { value: await calls[call](given) }; } catch (error) { answer = { error: String(error) }; }
  process.stdout.write(JSON.stringify(answer) + "\\n");
}
"""


class PageError(Exception):
    """What the page's code threw."""


class PageKeys:
    """The module, running."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", "--input-type=module", "-e", _DRIVER, "--", str(STATIC)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()

    def make_key(self, kind: str) -> int:
        return int(self._call("makeKey", kind=kind))

    def csr(self, key: int, name: str) -> bytes:
        return str(self._call("csr", key=key, name=name)).encode()

    def passwords(self, count: int) -> list[str]:
        return list(self._call("password", count=count))

    def password_from(self, values: list[int]) -> str:
        """A password made of these random bytes, over and over."""
        return str(self._call("randomly", bytes=values))

    def p12(self, key: int, chain: bytes, *, label: str, password: str, profile: str) -> bytes:
        made = self._call("p12", key=key, chain=chain.decode(), label=label, password=password, profile=profile)
        return base64.b64decode(made)

    def _call(self, call: str, **given: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": call, **given}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise PageError(answer["error"])
        return answer["value"]
