"""Creates the task that the reference, opteryx-catalog 0.4.182, creates for a payload.

Arguments: the server's address, the queue and the domain. Standard input: the payload in one line,
and then one line for each task. Prints how long each call took, in nanoseconds.
"""

import json
import sys
import time

import grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

address, queue_path, domain = sys.argv[1:]
payload = json.loads(sys.stdin.readline())

transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(address))
client = tasks_v2.CloudTasksClient(transport=transport)


def send_via_cloud_tasks():
    # As in the reference's webhooks package, `_send_via_cloud_tasks`.
    task = tasks_v2.Task(
        http_request=tasks_v2.HttpRequest(
            http_method=tasks_v2.HttpMethod.POST,
            url=f"https://{domain}/event",
            headers={
                "Content-Type": "application/json",
                "User-Agent": "opteryx-catalog-webhook/1.0",
            },
            body=json.dumps(payload).encode(),
        )
    )
    client.create_task(tasks_v2.CreateTaskRequest(parent=queue_path, task=task))


for _ in sys.stdin:
    started = time.perf_counter_ns()
    send_via_cloud_tasks()
    print(time.perf_counter_ns() - started, flush=True)
