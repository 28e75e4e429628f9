"""Objects in S3 or in a local folder, behind one small interface.

A :class:`Storage` is rooted at a URI; keys are relative to it and use ``/``. What S3 promises, a local folder promises too:
an object appears whole or not at all, a conditional write has one winner, a listing is sorted by key.

Example:
    >>> import tempfile
    >>> from gluewright_core.storage import ABSENT, open_storage
    >>> storage = open_storage(tempfile.mkdtemp())
    >>> version = storage.write("notes/today.txt", b"hello", expect=ABSENT)
    >>> [found.key for found in storage.list_objects("notes/")]
    ['notes/today.txt']
"""

from gluewright_core.storage.interface import ABSENT, ANY, Expect, Storage, StoredObject
from gluewright_core.storage.opening import open_storage, parent_uri

__all__ = ["ABSENT", "ANY", "Expect", "Storage", "StoredObject", "open_storage", "parent_uri"]
