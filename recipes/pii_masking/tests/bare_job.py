"""What a job does that has this recipe's folder as a package of its own, and nothing else of the project."""

import hashlib
import hmac

from pyspark.sql import functions as F


def main(spark, folder, recipe):
    secret = b"k" * 32
    given = spark.createDataFrame([(1, "a person")], "id int, name string")
    policy = recipe.Policy({"id": recipe.Keep(), "name": recipe.Token(length=16)})
    masked = recipe.mask(given, policy, key=recipe.Key("k", secret))
    token = hmac.new(secret, b"a person", hashlib.sha256).hexdigest()[:16]
    assert [tuple(row) for row in masked.collect()] == [(1, f"k.{token}")]
    assert recipe.leaks(given, masked, ["name"]).collect() == []
    assert [tuple(row) for row in recipe.leaks(given, given, ["name"]).collect()] == [("name", "name", 1, 1)]
    assert spark.range(1).select(recipe.hidden(F.lit("x a@b.de"))).first()[0] == "x [email]"
    assert recipe.reidentification(spark.range(3), ["id"]).first()["alone"] == 3
    kept = spark.createDataFrame([("", "l1", "s1", "t1")], "domain string, lookup string, sealed string, token string")
    looked_up = spark.createDataFrame([("l1",), (None,)], "a string")
    assert {row["a"] for row in recipe.exchanged(looked_up, ["a"], kept).collect()} == {"t1", None}
