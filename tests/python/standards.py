"""Standard Webhooks and CloudEvents, by their official Python libraries.

`standards.py receive SECRET` is a receiver: it prints its port, answers 200 to what the libraries
take and 401 to the rest, and prints what it made of each request as a line of JSON.

`standards.py sign` reads lines of JSON with `secret`, `id`, `timestamp` and `body`, and answers
each with its signature.
"""

import json
import sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from standardwebhooks import Webhook, WebhookVerificationError


def take(secret, headers, body):
    """What the two libraries make of a request."""
    data = Webhook(secret).verify(body, headers)
    event = from_binary_event(HTTPMessage(headers=headers, body=body))
    assert event.get_data() == data, "the libraries read different data"
    return {
        "type": event.get_type(),
        "source": event.get_source(),
        "subject": event.get_subject(),
        "id": event.get_id(),
        "time_ms": round(event.get_time().timestamp() * 1000),
        "specversion": event.get_specversion(),
        "datacontenttype": event.get_datacontenttype(),
        "data": data,
    }


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            taken, status = take(sys.argv[2], dict(self.headers.items()), body), 200
        except WebhookVerificationError as error:
            taken, status = {"refused": str(error)}, 401
        print(json.dumps(taken), flush=True)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if sys.argv[1] == "receive":
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    print(server.server_port, flush=True)
    server.serve_forever()
else:
    for line in sys.stdin:
        case = json.loads(line)
        attempt = datetime.fromtimestamp(case["timestamp"], tz=timezone.utc)
        print(Webhook(case["secret"]).sign(case["id"], attempt, case["body"]), flush=True)
