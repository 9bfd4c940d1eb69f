"""Serves the reference's sample, as its documentation gives it, on a free port of loopback.

The sample itself would take port 8080 of every interface.
"""

from reference_flask_sample import app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, app, threaded=True)
server.log_startup()
server.serve_forever()
