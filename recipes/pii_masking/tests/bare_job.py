"""What a job does that has these hearts as files, and nothing else of ours."""

import hashlib
import hmac

from pyspark.sql import functions as F


def main(spark, folder, masking, canonical, ff1, detect, leaks, risk, vault):
    secret = b"k" * 32
    given = spark.createDataFrame([(1, "a person")], "id int, name string")
    policy = masking.Policy({"id": masking.Keep(), "name": masking.Token(length=16)})
    masked = masking.mask(given, policy, key=masking.Key("k", secret))
    token = hmac.new(secret, b"a person", hashlib.sha256).hexdigest()[:16]
    assert [tuple(row) for row in masked.collect()] == [(1, f"k.{token}")]
    assert spark.range(1).select(canonical.email(F.lit(" A@b.de"))).first()[0] == "a@b.de"
    assert ff1.FEWEST == 6
    assert leaks.leaks(given, masked, ["name"]).collect() == []
    assert [tuple(row) for row in leaks.leaks(given, given, ["name"]).collect()] == [("name", "name", 1, 1)]
    assert spark.range(1).select(detect.hidden(F.lit("x a@b.de"))).first()[0] == "x [email]"
    assert risk.reidentification(spark.range(3), ["id"]).first()["alone"] == 3
    kept = spark.createDataFrame([("", "l1", "s1", "t1")], "domain string, lookup string, sealed string, token string")
    looked_up = spark.createDataFrame([("l1",), (None,)], "a string")
    assert {row["a"] for row in vault.exchanged(looked_up, ["a"], kept).collect()} == {"t1", None}
