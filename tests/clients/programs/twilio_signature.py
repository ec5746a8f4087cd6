"""Twilio's own computation of a signature: TOKEN URL -> the header's value."""

import sys

from twilio.request_validator import RequestValidator  # type: ignore[import-not-found,unused-ignore]

token, url = sys.argv[1:]
print(RequestValidator(token).compute_signature(url, {}))
