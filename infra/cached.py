"""Answers that a cache may keep: with a strong tag (RFC 9110, section 8.8.3), 304 to who has the same already, and one
range of bytes to who asks for no more (section 14).

Several ranges at once are answered with the whole, as section 14.2 allows, and so is what is no range.
"""

from __future__ import annotations

import re
from hashlib import sha256

from fastapi import Request, Response

from infra.http import problem

FOREVER = "public, max-age=31536000, immutable"
"""For what never changes under its address."""
ASK_AGAIN = "no-cache"
"""For what may: a cache asks before it gives it to anybody."""

_RANGE = re.compile(r"bytes=(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))", re.ASCII)


def cached(request: Request, content: bytes, media_type: str, cache_control: str) -> Response:
    """The answer to a GET or HEAD: 200, 206, 304 or 416."""
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = {"Accept-Ranges": "bytes", "Cache-Control": cache_control, "ETag": tag}
    if _matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        # No range of a HEAD is defined (section 14.2). The length is that of the body which is not sent.
        return Response(headers={**headers, "Content-Length": str(len(content))}, media_type=media_type)
    asked = _asked(request.headers.get("range", ""), len(content))
    # A date, or a weak tag, is never the same as ours (section 13.1.5).
    if asked is None or request.headers.get("if-range", tag) != tag:
        return Response(content, headers=headers, media_type=media_type)
    start, end = asked
    if start >= end:
        answer = problem(416, "no-such-range", f"there are {len(content)} bytes")
        answer.headers["Content-Range"] = f"bytes */{len(content)}"
        return answer
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return Response(content[start:end], 206, headers, media_type)


def _asked(given: str, length: int) -> tuple[int, int] | None:
    """[start, end) of the one range that is asked for, empty if there are no such bytes; None if that is no range."""
    found = _RANGE.fullmatch(given)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(length - int(suffix), 0), length if int(suffix) else 0
    if last is not None and int(last) < int(first):
        return None
    return int(first), length if last is None else min(int(last) + 1, length)


def _matches(given: str | None, tag: str) -> bool:
    """Whether If-None-Match names this tag, weakly compared (section 13.1.2)."""
    if given is None:
        return False
    return given.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in given.split(","))
