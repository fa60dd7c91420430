"""Asks python-jose about tokens, as the documented Flask backend does.

Reads {"base": URL, "audience": ID, "tokens": {NAME: TOKEN}} from standard input
and writes {NAME: the claims, or the name of the exception} to standard output.
"""

import json
import sys

import requests
from jose import jwt

question = json.load(sys.stdin)
key = requests.get(question["base"] + "/token/jwks", timeout=5).json()["keys"][0]
answer = {}
for name, token in question["tokens"].items():
    try:
        answer[name] = jwt.decode(token, key, algorithms="ES256", audience=question["audience"])
    except Exception as err:  # the name of whatever it raises is the answer
        answer[name] = type(err).__name__
json.dump(answer, sys.stdout)
