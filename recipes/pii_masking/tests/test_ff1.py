"""Format-preserving encryption: NIST's samples, and another implementation on random digits."""

from __future__ import annotations

import importlib
import random
import sys
from types import ModuleType, SimpleNamespace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pyspark.sql import functions as F

from gluewright_pii_masking import EncryptDigits, Keep, Policy, PolicyMismatchError, decrypt_digits, ff1, mask
from gluewright_pii_masking.keys import derived

_KEY = "2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94"
# NIST, "Block Cipher Modes of Operation: FF1 Method for Format-Preserving Encryption", samples 1, 2, 4, 5, 7 and 8.
NIST = [
    (_KEY[:32], "", "2433477484"),
    (_KEY[:32], "39383736353433323130", "6124200773"),
    (_KEY[:48], "", "2830668132"),
    (_KEY[:48], "39383736353433323130", "2496655549"),
    (_KEY, "", "6657667009"),
    (_KEY, "39383736353433323130", "1001623463"),
]


@pytest.fixture(scope="module")
def other():
    """The FF1 of ubiq-security-fpe, with the AES of cryptography instead of M2Crypto's, which has to be compiled."""

    def cipher(alg, key, iv, op):
        assert (alg, op) == (f"aes_{len(key) * 8}_cbc", 1)
        return Cipher(algorithms.AES(bytes(key)), modes.CBC(bytes(iv))).encryptor()

    fake = ModuleType("M2Crypto")
    fake.EVP = SimpleNamespace(Cipher=cipher)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "M2Crypto", fake)
        yield importlib.import_module("ubiq_security_fpe.ff1")


def test_the_samples_of_nist_hold(spark):
    for key, tweak, sealed in NIST:
        given = [("0123456789", sealed, bytearray.fromhex(key))]
        frame = spark.createDataFrame(given, "plain string, sealed string, key binary")
        options = {"key": F.col("key"), "tweak": bytes.fromhex(tweak)}
        row = frame.select(ff1.encrypt(F.col("plain"), **options), ff1.decrypt(F.col("sealed"), **options)).first()
        assert tuple(row) == (sealed, "0123456789")


def test_digits_of_every_length_are_what_another_implementation_makes_of_them(spark, other):
    draw, key = random.Random(5), bytes(range(32))
    texts = ["".join(draw.choices("0123456789", k=length)) for length in range(ff1.FEWEST, ff1.MOST + 1) for _ in range(6)]
    texts += ["0" * length for length in (6, 7, 36)] + ["9" * length for length in (6, 35, 36)]
    for tweak in (b"", b"t", b"a tweak that is longer than a block of AES"):
        theirs = other.Context(key, tweak, 0, len(tweak), 10)
        frame = spark.createDataFrame([(text,) for text in texts], "plain string").coalesce(1)
        sealed = frame.withColumn("sealed", ff1.encrypt(F.col("plain"), F.lit(key), tweak=tweak))
        back = sealed.withColumn("back", ff1.decrypt(F.col("sealed"), F.lit(key), tweak=tweak)).collect()
        assert [row["sealed"] for row in back] == [theirs.Encrypt(text) for text in texts]
        assert [row["back"] for row in back] == texts


def test_the_form_of_a_text_stays_and_the_digits_come_back(spark, key, other):
    texts = ["4929-5555-0199-1234", "+44 20 7946 0001", "1é23456😀78", "123456", "12345", "no digits", "", None, "1" * 37]
    cards = spark.createDataFrame(list(enumerate(texts)), "id int, card string")
    policy = Policy({"id": Keep(), "card": EncryptDigits(domain="cards")})
    sealed = mask(cards, policy, key=key)
    found = [row["card"] for row in sealed.orderBy("id").collect()]
    theirs = other.Context(derived(key.secret, "ff1"), b"cards", 0, 5, 10)
    for text, other_text in zip(texts[:4], found, strict=False):
        digits = iter(theirs.Encrypt("".join(filter(str.isdecimal, text))))
        assert other_text == "".join(next(digits) if char.isdecimal() else char for char in text)
    assert found[4:] == [None] * 5
    back = decrypt_digits(sealed, ["card"], key, domain="cards").orderBy("id").collect()
    assert [row["card"] for row in back] == [*texts[:4], *[None] * 5]
    with pytest.raises(PolicyMismatchError, match="no column cord to decrypt; did you mean card"):
        decrypt_digits(sealed, ["cord"], key)
