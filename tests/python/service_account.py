"""Prints the JSON of a service account's key, made up."""

import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
pem = key.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
print(
    json.dumps(
        {
            "type": "service_account",
            "project_id": "my-project",
            "private_key_id": "made-up",
            "private_key": pem.decode(),
            "client_email": "catalog@my-project.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": "http://127.0.0.1:9/never-asked",
        }
    )
)
