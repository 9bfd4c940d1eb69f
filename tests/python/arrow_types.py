"""What PyArrow calls the types of the fields that it is handed.

Standard input: a field per line, as JSON: the members of its `ArrowSchema` of Arrow's C data
interface, the metadata as a map. Standard output: a line of JSON for each, `{"type": …}`, or
`{"refused": …}` if PyArrow does not import it.
"""

import ctypes
import json
import struct
import sys

import pyarrow


class ArrowSchema(ctypes.Structure):
    pass


Release = ctypes.CFUNCTYPE(None, ctypes.POINTER(ArrowSchema))

ArrowSchema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(ArrowSchema))),
    ("dictionary", ctypes.POINTER(ArrowSchema)),
    ("release", Release),
    ("private_data", ctypes.c_void_p),
]


@Release
def release(schema):
    # Python frees the memory; the interface only asks for the mark that says it is released.
    schema.contents.release = Release(0)


def c_schema(field, alive):
    """The C structure; `alive` keeps what it points to from being freed."""
    children = [ctypes.pointer(c_schema(child, alive)) for child in field["children"]]
    children = (ctypes.POINTER(ArrowSchema) * len(children))(*children)
    schema = ArrowSchema(
        format=field["format"].encode(),
        name=field["name"].encode(),
        flags=field["flags"],
        n_children=len(children),
        children=children,
        release=release,
    )
    if field["metadata"]:
        metadata = ctypes.create_string_buffer(c_metadata(field["metadata"]))
        schema.metadata = ctypes.cast(metadata, ctypes.c_void_p)
        alive.append(metadata)
    if field["dictionary"]:
        schema.dictionary = ctypes.pointer(c_schema(field["dictionary"], alive))
    alive.append(schema)
    return schema


def c_metadata(metadata):
    encoded = struct.pack("=i", len(metadata))
    for pair in metadata.items():
        for text in pair:
            encoded += struct.pack("=i", len(text.encode())) + text.encode()
    return encoded


def answer(field):
    alive = []
    try:
        imported = pyarrow.Field._import_from_c(ctypes.addressof(c_schema(field, alive)))
    except (pyarrow.ArrowException, ValueError, TypeError, NotImplementedError) as refusal:
        return {"refused": str(refusal)}
    return {"type": str(imported.type)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))))
