"""What every refusal has in common, whatever its reason."""

import re

from end_to_end.raw import Response

REFUSAL_ID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{16}\b")  # 80 bits in Crockford's base 32
STATUS = {"wrong_site": 421}


def assert_refused(response: Response, reason: str) -> None:
    """The answer is a problem document (RFC 9457) of ours with this reason, that a person and a program can use."""
    assert response.reason == reason, response
    problem = response.json()
    assert response.status == problem["status"] == STATUS.get(reason, 403)
    assert problem["type"] == f"urn:mutualgate:reason:{reason}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["fix"]
    assert REFUSAL_ID.fullmatch(problem["refusal"])
