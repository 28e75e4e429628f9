"""The same on S3: where a listing begins and ends, names beyond ASCII, and conditional writes."""

import os
import random

import pytest

from gluewright_core.errors import ConcurrentUpdateError
from gluewright_core.storage import open_storage
from gluewright_incremental.job.incremental import Incremental
from gluewright_testing.aws import ENDPOINT_OVERRIDE
from gluewright_testing.sharing import once

pytestmark = once(0)


@pytest.mark.independent_s3
def test_each_object_is_read_once_and_late_ones_are_found(s3_server):
    s3_server.bucket("landing")
    source, draw, read = open_storage("s3://landing/in"), random.Random(1), []

    def batch():
        incremental = Incremental(
            source, consumer="c", state="s3://warehouse/state", close_after=1, audit_every=4, patience=0
        )
        with incremental.batch() as found:
            read.extend(each.key for each in found.objects)
        return found

    names = [
        "dt=1/a",
        "dt=1/\U0001f600",
        "dt=2/\u00e9 +&%20",
        "dt=2.bak/x",
        "dt=20/h=1/a",
        "dt=3/a",
        "dt=4/a",
        "\ue000/x",
        "z",
    ]
    # A server that keeps objects in a file system has none with a folder's name.
    names += [] if os.environ.get(ENDPOINT_OVERRIDE) else ["dt=3"]
    draw.shuffle(names)
    for name in [*names, "zz/1"]:  # the last one leaves nothing else open
        source.write(name, name.encode())
        batch()
    for name in ("dt=1/late", "dt=2/late", "dt=0/late", "dt=25/late", "\ue000/late"):
        source.write(name, b"late")
    late = set()
    while found := batch():
        late |= {each["prefix"] for each in found.late}
    assert late == {"dt=1/", "dt=2/", "\ue000/"}
    assert sorted(read) == sorted(each.key for each in source.list_objects())

    source.write("dt=5/a", b"5")
    incremental = Incremental(source, consumer="c", state="s3://warehouse/state", patience=0)
    with incremental.batch(), pytest.raises(ConcurrentUpdateError, match="is held by"):
        batch()
