from __future__ import annotations

import cProfile
import pstats
import time

from gluewright_testing.killpoints import effects_of


def test_measure(new_world, short_leases, spark):
    for conf in (
        {},
        {
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.adaptive.enabled": "false",
        },
    ):
        for k, v in conf.items():
            spark.conf.set(k, v)
        w = new_world(last="2013-01-02", few=5)
        for i in range(4):
            t = time.time()
            c = time.process_time()
            p = cProfile.Profile()
            p.enable()
            e = effects_of(w.run)
            p.disable()
            print("XX", len(e), time.time() - t, time.process_time() - c)
        pstats.Stats(p).sort_stats("cumtime").print_stats("gluewright|pyspark", 45)
