"""Canonical forms: python-stdnum and the examples of phonenumbers say what is right."""

from __future__ import annotations

import phonenumbers
import pytest
from pyspark.sql import functions as F
from stdnum import iban as stdnum_iban
from stdnum import luhn

from gluewright_pii_masking import (
    InvalidPolicyError,
    Keep,
    Key,
    Policy,
    PolicyMismatchError,
    Token,
    VaultToken,
    canonical,
    mask,
    rotation,
    vault_entries,
)

IBANS = ["DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"]
CARDS = ["4111111111111111", "378282246310005", "6011000990139424", "4222222222222"]


def changed(spark, by, texts):
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    return [row[0] for row in frame.select(by(F.col("text"))).collect()]


def test_an_iban_has_one_form_however_it_is_grouped(spark):
    def ways(plain):
        groups = [plain[n : n + 4] for n in range(0, len(plain), 4)]
        spaced = " ".join(groups)
        return [plain, spaced, "-".join(groups).lower(), f"IBAN {spaced}", "\u00a0" + "\u2009".join(groups) + "\n"]

    assert all(map(stdnum_iban.is_valid, IBANS))
    for plain in IBANS:
        written = ways(plain)
        assert set(changed(spark, canonical.iban, written)) == {plain}
        assert {stdnum_iban.compact(text.strip().removeprefix("IBAN").replace("\u2009", "")) for text in written} == {plain}


def test_a_card_has_one_form_and_other_texts_are_only_trimmed(spark):
    for plain in CARDS:
        assert luhn.is_valid(plain)
        groups = " ".join(plain[n : n + 4] for n in range(0, len(plain), 4))
        assert set(changed(spark, canonical.card, [plain, groups, groups.replace(" ", "-"), f" {groups} "])) == {plain}
    others = ["no card ", "1234 567", "4111 1111 1111 1111 x", None, ""]
    assert changed(spark, canonical.card, others) == ["no card", "1234 567", "4111 1111 1111 1111 x", None, ""]
    assert changed(spark, canonical.iban, ["my account ", None]) == ["my account", None]


def test_an_address_is_the_same_in_any_case_and_on_request_without_its_tag(spark):
    texts = [" Ada+News@Example.ORG", "ada@example.org\t", "+only@x.de", "a+b", "x+y@z@w", None]
    others = ["+only@x.de", "a+b", "x+y@z@w", None]
    assert changed(spark, canonical.email, texts) == ["ada+news@example.org", "ada@example.org", *others]
    bare = canonical.form_of("email_without_tag")
    assert changed(spark, bare, texts) == ["ada@example.org", "ada@example.org", *others]


def test_a_telephone_number_has_one_form_in_every_region(spark):
    kinds = phonenumbers.PhoneNumberFormat
    for region in ("GB", "DE", "US", "IT", "AR", "JP"):
        number = phonenumbers.example_number(region)
        expected = phonenumbers.format_number(number, kinds.E164)
        written = [phonenumbers.format_number(number, kind) for kind in (kinds.NATIONAL, kinds.INTERNATIONAL, kinds.RFC3966)]
        assert set(changed(spark, canonical.form_of(f"phone:{region}"), [*written, f" {expected} "])) == {expected}
    texts = ["+44 20 7946 0001 ext. 12", "020 7946 0001", "call me", "+44 1", None]
    assert changed(spark, canonical.phone, texts) == ["+442079460001;ext=12", "020 7946 0001", "call me", "+44 1", None]


def test_tokens_of_one_form_join_in_masks_vaults_and_rotations(spark):
    key, new = Key("k1", b"k" * 32), Key("k2", b"n" * 32)
    data = [("+44 20 7946 0001", "Ada@x.org"), ("020 7946 0001", " ada+y@X.org")]
    people = spark.createDataFrame(data, "phone string, email string")
    policy = Policy({"phone": Token(normalise="phone:GB"), "email": Token(normalise=("email_without_tag", "nfc"))})
    assert mask(people, policy, key=key).distinct().count() == 1
    assert rotation(people, policy, old=key, new=new).groupBy("column").count().where("count = 1").count() == 2
    kept = Policy({"phone": VaultToken(normalise="phone:GB"), "email": Keep()})
    assert vault_entries(people, kept, key=key).count() == 1


@pytest.mark.parametrize(
    ("normalise", "told"),
    [
        (("emial",), "'emial'; there are trim, lower, nfc, email, email_without_tag, iban, card, phone"),
        (("email", "iban"), "email and iban; a value has one form"),
        (("phone:XX",), "'XX' is not a region"),
    ],
)
def test_a_form_that_does_not_exist_is_refused(normalise, told):
    with pytest.raises(InvalidPolicyError, match=told):
        Token(normalise=normalise)


def test_without_phonenumbers_the_policy_says_what_to_install(monkeypatch):
    monkeypatch.setattr(canonical.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidPolicyError, match=r"install gluewright-pii-masking\[phone\]"):
        Token(normalise="phone")


def test_a_telephone_number_inside_an_array_is_refused_before_spark_is_asked(spark):
    people = spark.createDataFrame([(["020 7946 0001"],)], "phones array<string>")
    with pytest.raises(PolicyMismatchError, match="in Python, which Spark does in columns only; explode it"):
        mask(people, Policy({"phones[]": Token(normalise="phone:GB")}), key=Key("k1", b"k" * 32))
