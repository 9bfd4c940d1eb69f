"""Sends events through the reference, the package opteryx-catalog, one whenever it is told to.

Arguments: `direct`, or `queue` with the server's address and the queue's path; then how many bodies
there are. Standard input: the bodies, one in each line, and then lines with a body's number. Prints
how long each event took, in nanoseconds.
"""

import json
import sys
import time

from opteryx_catalog.webhooks import get_webhook_manager, send_webhook

mode, *queue, bodies = sys.argv[1:]
events = []
for _ in range(int(bodies)):
    body = json.loads(sys.stdin.readline())
    event = body["event"]
    names = ("action", "workspace", "collection", "resource_type", "resource_name")
    events.append(([event[name] for name in names], body["data"]))

if mode == "queue":
    import grpc
    from google.cloud import tasks_v2
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    # What it would make itself, but for a server of ours, and so without credentials.
    address, path = queue
    channel = grpc.insecure_channel(address)
    manager = get_webhook_manager()
    manager.queue_path = path
    manager._tasks_client = tasks_v2.CloudTasksClient(
        transport=CloudTasksGrpcTransport(channel=channel)
    )

for line in sys.stdin:
    names, data = events[int(line)]
    started = time.perf_counter_ns()
    sent = send_webhook(*names, data)
    taken = time.perf_counter_ns() - started
    if not sent:
        sys.exit("the event did not arrive")
    print(taken, flush=True)
