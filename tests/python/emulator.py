"""The Cloud Tasks emulator, on a free port of 127.0.0.1, which it prints; with the queues that are
named as arguments. It ends with its standard input.

Its own command binds every interface, and a port that is chosen before.
"""

import os
import sys
from concurrent import futures

import grpc
from gcloud_tasks_emulator.cloudtasks_pb2_grpc import add_CloudTasksServicer_to_server
from gcloud_tasks_emulator.server import Greeter, Processor, QueueState
from google.cloud.tasks_v2 import Queue

state = QueueState(target_host="localhost", target_port=80, max_retries=-1)
for name in sys.argv[1:]:
    state.create_queue(name.rsplit("/", 2)[0], Queue(name=name))

server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
add_CloudTasksServicer_to_server(Greeter(state), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
Processor(state).start()
print(port, flush=True)

sys.stdin.read()
os._exit(0)
