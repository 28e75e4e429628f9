"""What is found in free text, what only looks like it, and the checksums against an answer of their own."""

from __future__ import annotations

import ipaddress
import random

import pytest
from pyspark.sql import functions as F

from gluewright_pii_masking.detect import UnknownDetectorError, found, hidden, luhn, mod_97

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
# Numbers from public documentation: card schemes' and the IBAN registry's examples, RFC 5737, RFC 3849, AWS's example key.
HIDDEN = {
    "write to ada.l+x@mail.example.org.": "write to [email].",
    "<o'neil@x-y.co.uk>,b@c.de": "<[email]>,[email]",
    "card 4111 1111 1111 1111, exp 12/27": "card [card], exp 12/27",
    "5555-5555-5555-4444 and 378282246310005": "[card] and [card]",
    "pay to DE89 3704 0044 0532 0130 00 or GB82WEST12345698765432 now": "pay to [iban] or [iban] now",
    "NL91ABNA0417164300, FR1420041010050500013M02606.": "[iban], [iban].",
    "from 203.0.113.7, 2001:db8::1 and fe80:0:0:0:1:2:3:4": "from [ipv4], [ipv6] and [ipv6]",
    "ssn 536-90-4399": "ssn [ssn]",
    f"Bearer {JWT}": "Bearer [jwt]",
    "AKIAIOSFODNN7EXAMPLE": "[aws_key]",
    "call +44 20 7946 0958 or (212) 555-0199 or 212-555-0123": "call [phone] or [phone] or [phone]",
    "tel:+493012345678, 030/1234567": "tel:[phone], [phone]",
    "two: 4111 1111 1111 1111 4111 1111 1111 1112": "two: [card] 4111 1111 1111 1112",
}
KEPT = [
    "",
    "at 12:30, room 5, 2024-02-29, 1.5.2",
    "order 4111 1111 1111 1112",
    "GB82 WEST 1234 5698 7654 33",
    "256.1.1.1 and 1.2.3.4.5",
    "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567",
    "std::vector<int> x::y",
    "user@localhost, @handle",
    "SKU AKIA123",
    "amount 1,234,567.89 EUR",
]


def test_what_is_found_is_hidden_and_what_only_looks_like_it_stays(spark):
    texts = {**HIDDEN, **dict.fromkeys(KEPT)}
    given = spark.createDataFrame([(text,) for text in [*texts, None]], "t string")
    got = {row["t"]: row["hidden"] for row in given.select("t", hidden(F.col("t")).alias("hidden")).collect()}
    wrong = {text: shown for text, shown in got.items() if shown != (texts.get(text) or text)}
    assert not wrong


def test_matches_are_told_by_kind_and_only_the_kinds_asked_for(spark):
    given = spark.createDataFrame([("a@b.de 1.2.3.4 a@b.de c@d.de",), (None,)], "t string")
    told, shown = found(F.col("t"), ["ipv4", "email"]), hidden(F.col("t"), ["email"])
    first, second = given.select(told.alias("f"), shown.alias("h")).collect()
    assert [tuple(each) for each in first["f"]] == [("email", "a@b.de"), ("email", "c@d.de"), ("ipv4", "1.2.3.4")]
    assert first["h"] == "[email] 1.2.3.4 [email] [email]" and tuple(second) == (None, None)
    with pytest.raises(UnknownDetectorError, match="no detector 'mail'; there are jwt, aws_key, email"):
        hidden(F.col("t"), ["mail"])


def test_checksums_are_what_plain_python_says(spark):
    chance = random.Random(5)
    cards = ["".join(chance.choice("0123456789") for _ in range(chance.randrange(1, 20))) for _ in range(300)]
    ibans = ["".join(chance.choice("0123456789AZ") for _ in range(chance.randrange(5, 30))) for _ in range(300)]

    def rest(iban):
        return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97

    # By chance alone too few would be right.
    ibans += [f"{text[:2]}{98 - rest(f'{text[:2]}00{text[4:]}'):02}{text[4:]}" for text in ibans]

    def sums(card):
        digits = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(card))]
        return sum(digit - 9 * (digit > 9) for digit in digits) % 10 == 0

    given = spark.createDataFrame([(text,) for text in cards], "t string").select("t", luhn(F.col("t")))
    assert [row[1] for row in given.collect()] == [sums(card) for card in cards]
    given = spark.createDataFrame([(text,) for text in ibans], "t string").select("t", mod_97(F.col("t")))
    right = [rest(text) == 1 for text in ibans]
    assert [row[1] for row in given.collect()] == right and sum(right) >= 300


def test_every_address_is_found_however_it_is_written(spark):
    chance = random.Random(9)
    texts = []
    for _ in range(150):
        address = ipaddress.IPv6Address(sum(chance.choice([0, 0, 0xF, 0xABCD]) << 16 * place for place in range(8)))
        texts += [address.compressed, address.exploded.upper(), str(ipaddress.IPv4Address(chance.getrandbits(32)))]
    given = spark.createDataFrame([(f"({text})",) for text in texts], "t string")
    shown = [row[0] for row in given.select(hidden(F.col("t"), ["ipv4", "ipv6"])).collect()]
    assert shown == ["([ipv6])", "([ipv6])", "([ipv4])"] * 150
