"""The webhook gets what it should, signed so that it can tell; nobody else gets anything."""

import hashlib
import hmac
import http.client
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pki
import post
import pytest

from mutualgate.model.letter import Letter, LetterKind
from mutualgate.notices import webhook
from mutualgate.notices.failure import Failure

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW = int(AT.timestamp())
BODY = '{"event":"test","text":"Grüße"}'


def letter(body: str = BODY) -> Letter:
    return Letter(1, LetterKind.WEBHOOK, "127.0.0.1", "Hello", body, None, AT, AT, 0, None, "")


def test_a_call_is_signed(tmp_path: Path) -> None:
    with post.webhook() as hook:
        webhook.call(post.notices_config(tmp_path, f"http://127.0.0.1:{hook.port}/in?who=x"), letter(), AT)
    (call,) = hook.calls
    assert call.path == "/in?who=x"
    assert json.loads(call.body) == {"event": "test", "text": "Grüße"}
    assert call.headers["Content-Type"] == "application/json"
    header = call.headers["Mutualgate-Signature"]
    # As the receiver computes it, by another's code: HMAC-SHA-256 of "timestamp.body".
    mac = hmac.new(post.SECRET, f"{NOW}.{BODY}".encode(), hashlib.sha256).hexdigest()
    assert header == f"t={NOW},v1={mac}"
    assert webhook.verify(post.SECRET, call.body, header, NOW)


def test_openssl_computes_the_same(tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(f"{NOW}.{BODY}".encode())
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"key:{post.SECRET.decode()}", "-r", "signed"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert webhook.sign(post.SECRET, BODY.encode(), NOW) == f"t={NOW},v1={done.stdout.split()[0]}"


def test_what_was_changed_or_is_old_does_not_verify() -> None:
    body = BODY.encode()
    header = webhook.sign(post.SECRET, body, NOW)
    assert webhook.verify(post.SECRET, body, header, NOW + 300)
    assert not webhook.verify(post.SECRET, body, header, NOW + 301)
    assert not webhook.verify(post.SECRET, body, header, NOW - 301)
    assert not webhook.verify(post.SECRET, body + b" ", header, NOW)
    assert not webhook.verify(b"another secret than that", body, header, NOW)
    assert not webhook.verify(post.SECRET, body, header.replace(f"t={NOW}", f"t={NOW + 1}"), NOW)
    for odd in ("", "t=1", header.replace("v1", "v0"), header + ",v1=" + "0" * 64, "t=x,v1=" + "0" * 64):
        assert not webhook.verify(post.SECRET, body, odd, NOW)


@pytest.mark.parametrize(
    ("status", "final", "everybody"),
    [(410, True, False), (400, False, False), (404, False, True), (429, False, True), (500, False, True)],
)
def test_what_is_no_success(tmp_path: Path, status: int, final: bool, everybody: bool) -> None:
    with post.webhook() as hook:
        hook.statuses = [status]
        with pytest.raises(Failure, match=f"answers {status}") as failure:
            webhook.call(post.notices_config(tmp_path, f"http://127.0.0.1:{hook.port}/"), letter(), AT)
    assert (failure.value.final, failure.value.everybody) == (final, everybody)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(tmp_path: Path, status: int) -> None:
    with post.webhook() as hook, post.webhook() as other:
        hook.statuses = [status]
        hook.location = f"http://127.0.0.1:{other.port}/"
        with pytest.raises(Failure, match="a redirect"):
            webhook.call(post.notices_config(tmp_path, f"http://127.0.0.1:{hook.port}/"), letter(), AT)
    assert other.calls == []


def test_by_https_to_who_is_meant_only(tmp_path: Path) -> None:
    root = pki.ca("hook root", now=pki.real_now())
    (tmp_path / "ca.pem").write_bytes(root.pem)
    (tmp_path / "other.pem").write_bytes(pki.ca("hook root", now=pki.real_now()).pem)
    with post.webhook(tls=pki.server(root, now=pki.real_now()), folder=tmp_path) as hook:
        url = f"https://127.0.0.1:{hook.port}/in"
        trusted = post.notices_config(tmp_path, url, more=f'ca_file = "{tmp_path}/ca.pem"')
        webhook.call(trusted, letter(), AT)
        for more in ("", f'ca_file = "{tmp_path}/other.pem"'):
            with pytest.raises(Failure, match="is not trusted"):
                webhook.call(post.notices_config(tmp_path, url, more=more), letter(), AT)
        (tmp_path / "no.pem").write_text("nothing")
        with pytest.raises(Failure, match="no certificate that can be used"):
            webhook.call(post.notices_config(tmp_path, url, more=f'ca_file = "{tmp_path}/no.pem"'), letter(), AT)
    assert len(hook.calls) == 1


def test_an_unsigned_call_is_never_made(tmp_path: Path) -> None:
    with post.webhook() as hook:
        config = post.notices_config(tmp_path, f"http://127.0.0.1:{hook.port}/")
        assert config.secret_file is not None
        config.secret_file.write_bytes(b"short")
        with pytest.raises(Failure, match="one line of 16 to"):
            webhook.call(config, letter(), AT)
        config.secret_file.write_bytes(post.SECRET)
        config.secret_file.chmod(0o644)
        with pytest.raises(Failure, match="others may read it"):
            webhook.call(config, letter(), AT)
    assert hook.calls == []


def test_nobody_there(tmp_path: Path) -> None:
    with post.webhook() as hook:
        pass
    with pytest.raises(Failure, match="cannot be reached") as failure:
        webhook.call(post.notices_config(tmp_path, f"http://127.0.0.1:{hook.port}/secret-path"), letter(), AT)
    assert "secret-path" not in str(failure.value)
    assert issubclass(http.client.HTTPException, Exception)
    assert timedelta(minutes=5) == webhook.TOLERANCE
