"""What a job does that has this heart as a file, and nothing else of ours."""


def main(spark, folder, ledger):
    old, new = ledger.SourceObject("dt=1/a.csv", "v1", 3), ledger.SourceObject("dt=2/a.csv", "v1", 5)
    found = ledger.compare([old, new], {old.key: old})
    assert ledger.take(found, ledger.Limits()) == [ledger.change(None, new)]
    assert ledger.digest([old, new]) == ledger.digest([old]) + ledger.digest([new])
