"""Receives webhooks at POST /event and prints what they say.

pip install Flask standardwebhooks, then point OPTERYX_WEBHOOK_DOMAIN to http://127.0.0.1:8080.

With the sender's OPTERYX_WEBHOOK_SECRET in its environment too, only what is signed is taken. Here
that is one `whsec_` secret, or several separated by spaces.
"""

import argparse
import hashlib
import os
import re
import sys
import threading

from flask import Flask, abort, jsonify, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 16 * 1024 * 1024


def webhooks():
    """One for each secret in the environment."""
    secrets = os.environ.get("OPTERYX_WEBHOOK_SECRET", "").split()
    # The library would take other secrets too, and make something else of them.
    if not all(re.fullmatch("whsec_[A-Za-z0-9+/]{32,86}={0,2}", secret) for secret in secrets):
        sys.exit("OPTERYX_WEBHOOK_SECRET: must be `whsec_` and the base64 of 24 to 64 bytes")
    return [Webhook(secret) for secret in secrets]


class SeenIds:
    """The ids of at least the last `capacity` messages, and of at most twice as many."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.younger, self.elder = set(), set()
        self.lock = threading.Lock()

    def insert(self, message_id):
        """Whether it is new."""
        with self.lock:
            if message_id in self.younger or message_id in self.elder:
                return False
            if len(self.younger) >= self.capacity:
                self.younger, self.elder = set(), self.younger
            self.younger.add(message_id)
            return True

    def remove(self, message_id):
        with self.lock:
            self.younger.discard(message_id)
            self.elder.discard(message_id)


WEBHOOKS = webhooks()
SEEN_IDS = SeenIds(10_000)
# One message at a time, so that an attempt that comes while another is dealt with learns how that ends.
DEALING = threading.Lock()


def is_authentic():
    """Whether one of the secrets has signed it; not a byte of the body has been parsed by then."""
    body, headers = request.get_data(), dict(request.headers)
    for webhook in WEBHOOKS:
        try:
            webhook.verify(body, headers, json_parse=False)
            return True
        # A ValueError is base64 that is none, or a body that is not UTF-8.
        except (WebhookVerificationError, ValueError):
            continue
    return False


@app.post("/event")
def receive():
    if WEBHOOKS and not is_authentic():
        abort(401)

    message_id = request.headers.get("webhook-id", "").encode("utf-8", "surrogatepass")
    # By its digest, since an unsigned id may be as long as its sender likes.
    digest = hashlib.sha256(message_id).digest()
    with DEALING:
        if message_id and not SEEN_IDS.insert(digest):
            return jsonify(status="ok")
        try:
            show(request.json)
        except BaseException:
            # It could not be dealt with, so it may come again.
            SEEN_IDS.remove(digest)
            raise
    return jsonify(status="ok")


def show(payload):
    event = payload["event"]
    action = event["action"]
    resource_type = event["resource_type"]
    resource_name = event["resource_name"]
    workspace = event["workspace"]
    collection = event["collection"]

    # Flushed, so that whoever reads these lines through a pipe sees them before the answer goes out.
    print(f"Received {action} event for {resource_type} {resource_name}", flush=True)
    print(f"Workspace: {workspace}, Collection: {collection}", flush=True)
    print(f"Timestamp: {event['timestamp']}", flush=True)
    print(f"Data: {payload['data']}", flush=True)


def address(text):
    host, _, port = text.rpartition(":")
    if not 0 <= int(port) < 65536:
        raise ValueError(port)
    return host.strip("[]") or "127.0.0.1", int(port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "address",
        nargs="?",
        type=address,
        default="127.0.0.1:8080",
        help="where to listen: 127.0.0.1:9000, or :9000 or 9000 for the same"
        " (default: 127.0.0.1:8080; port 0 is any free one)",
    )
    host, port = parser.parse_args().address
    app.run(host=host, port=port)
