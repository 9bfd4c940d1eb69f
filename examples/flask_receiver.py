"""Receives webhooks at POST /event and prints what they say.

pip install Flask, then point OPTERYX_WEBHOOK_DOMAIN to http://127.0.0.1:8080.
"""

import argparse

from flask import Flask, jsonify, request

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 16 * 1024 * 1024


@app.post("/event")
def receive():
    payload = request.json

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

    return jsonify(status="ok")


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
