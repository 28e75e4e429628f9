"""A closed policy, actions that are right by an independent answer, and keys that show nowhere."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import ipaddress
import pickle
import random
import re
import string
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegerType, MapType, StringType, StructField, StructType

from gluewright_pii_masking import (
    Band,
    Drop,
    Encrypt,
    Grid,
    InvalidKeyError,
    InvalidPolicyError,
    IpPrefix,
    Keep,
    Key,
    Partial,
    Policy,
    PolicyMismatchError,
    Redact,
    ShiftDate,
    Token,
    TruncateDate,
    decrypt,
    mask,
    rotation,
)
from gluewright_pii_masking.expressions import aes_gcm, hmac_sha256
from gluewright_pii_masking.keys import derived, pads
from gluewright_pii_masking.unicode_nfc import nfc, unicode_data, unicode_tables
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows

# RFC 4231, cases 1 to 4, 6 and 7: key, message, digest.
RFC_4231 = [
    ("0b" * 20, b"Hi There".hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe".hex(),
        b"what do ya want for nothing?".hex(),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    ("aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)).hex(), "cd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First".hex(),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        "aa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed "
        b"before being used by the HMAC algorithm.".hex(),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]
_PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
    "b16aedf5aa0de657ba637b391aafd255"
)
_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
    "c5f61e6393ba7a0abcc9f662898015ad"
)
# NIST's validation vectors for GCM with 256 bits (McGrew and Viega, cases 13 to 15): key, IV, plain, ciphertext and tag.
NIST_GCM = [
    ("00" * 32, "00" * 12, "", "530f8afbc74536b9a963b4f1c4cb738b"),
    ("00" * 32, "00" * 12, "00" * 16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    (
        "feffe9928665731c6d6a8f9467308308" * 2,
        "cafebabefacedbaddecaf888",
        _PLAIN,
        _SEALED + "b094dac5d93471bdec1a502270e3cc6c",
    ),
]


def test_the_vectors_of_rfc_4231_and_of_nist_hold(spark):
    given = [
        tuple(bytes.fromhex(text) for text in (message, *(pad.hex() for pad in pads(bytes.fromhex(key)))))
        for key, message, _ in RFC_4231
    ]
    digests = spark.createDataFrame(given, "m binary, i binary, o binary").select(
        hmac_sha256(F.col("m"), F.col("i"), F.col("o"))
    )
    assert [row[0] for row in digests.collect()] == [digest for _, _, digest in RFC_4231]

    given = [tuple(bytes.fromhex(text) for text in vector[:3]) for vector in NIST_GCM]
    sealed = spark.createDataFrame(given, "k binary, iv binary, p binary").select(
        F.hex(aes_gcm(F.col("p"), F.col("k"), F.col("iv")))
    )
    assert [row[0].lower() for row in sealed.collect()] == [iv + ciphertext for _, iv, _, ciphertext in NIST_GCM]


def token(key, text, *, domain=""):
    secret = hmac.digest(key.secret, f"gluewright token {domain}".encode(), "sha512")[:32] if domain else key.secret
    return hmac.new(secret, text.encode() if isinstance(text, str) else text, hashlib.sha256).hexdigest()


def test_every_kind_of_value_has_the_token_that_python_gives_it(spark, key):
    text = "\u00a0 Ada.Löwe@Example.ORG\t"
    given = rows(
        spark,
        "text string, raw binary, small tinyint, big bigint, amount decimal(9,4), whole decimal(20,0), day date, "
        "at timestamp",
        [
            (text, b"\x00\xff", 5, 5, "5.0000", "5", "2024-02-29", "2024-02-29T12:00:00.000001"),
            ("", b"", -7, 2**62, "-0.0500", "100", "0001-01-01", "1969-12-31T23:59:59.999999"),
            (None,) * 8,
        ],
    )
    plain = Token(with_key_id=False)
    of_text = {
        "hex": Token(),
        "short": Token(length=16, domain="people", with_key_id=False),
        "url": Token(alphabet="base64url", with_key_id=False),
        "digits": Token(alphabet="digits", length=20, with_key_id=False),
        "folded": Token(normalise=("trim", "lower"), with_key_id=False),
    }
    wide = given.select("*", *(F.col("text").alias(name) for name in of_text)).drop("text")
    policy = Policy(dict.fromkeys(given.drop("text").columns, plain) | of_text)
    moment = 1709208000000001

    def digits(text):
        whole = token(key, text)
        return "".join(f"{int(whole[at : at + 16], 16) % 10**15:015}" for at in (0, 16))[:20]

    def url(text):
        return base64.urlsafe_b64encode(bytes.fromhex(token(key, text))).decode().rstrip("=")

    def others(text):
        return (f"k1.{token(key, text)}", token(key, text, domain="people")[:16], url(text), digits(text))

    assert_same_rows(
        mask(wide, policy, key=key),
        [
            (
                *(token(key, each) for each in (b"\x00\xff", "5", "5", "5", "5", "2024-02-29", str(moment))),
                *others(text),
                token(key, "ada.löwe@example.org"),
            ),
            (
                *(token(key, each) for each in (b"", "-7", str(2**62), "-0.05", "100", "0001-01-01", "-1")),
                *others(""),
                token(key, ""),
            ),
            (None,) * 12,
        ],
    )


def test_generalised_values_are_what_python_says(spark):
    numbers = [0, 9, 10, 37, -1, -10, 2**63 - 1, -(2**63), None]
    given = rows(
        spark,
        "n bigint, d double, x decimal(10,3), day date, at timestamp",
        [
            (n, None if n is None else n / 4, None if n is None else n % 1000, "2024-05-31", "2024-05-31T10:00:00")
            for n in numbers
        ],
    )
    policy = Policy(
        {"n": Band(10), "d": Grid(0.1), "x": Band(2.5), "day": TruncateDate("quarter"), "at": TruncateDate("year")},
    )
    masked = mask(given, policy)
    assert [field.dataType.simpleString() for field in masked.schema] == ["bigint", "double", "double", "date", "timestamp"]
    got = masked.collect()
    assert [row["n"] for row in got] == [None if n is None else max(n - n % 10, -(2**63)) for n in numbers]
    assert [row["d"] for row in got][:6] == [0.0, 2.2, 2.5, 9.2, -0.3, -2.5]
    assert [row["x"] for row in got] == [None if n is None else (n % 1000) // 2.5 * 2.5 for n in numbers]
    assert {(row["day"], row["at"].replace(tzinfo=UTC)) for row in got} == {
        (date(2024, 4, 1), datetime(2024, 1, 1, tzinfo=UTC))
    }


def test_addresses_become_the_networks_that_python_says_and_nothing_else_comes_through(spark):
    chance = random.Random(7)
    v4 = [str(ipaddress.IPv4Address(chance.getrandbits(32))) for _ in range(100)]
    v6 = []
    for _ in range(200):
        address = ipaddress.IPv6Address(sum(chance.choice([0, 0, 0xF, 0xABCD, 0x20]) << 16 * place for place in range(8)))
        v6.append(chance.choice([address.compressed, address.exploded, address.compressed.upper()]))
    no = [
        "",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "1:2:3",
        "1::2::3",
        ":1",
        "fe80::1%eth0",
        "12345::",
        "a@b.c",
        "1.2.3.4/8",
        "1:2:3:4:5:6:7:8:9",
    ]
    given = spark.createDataFrame([(text,) for text in [*v4, *v6, *no, " 10.1.2.3 ", "::FFFF:10.1.2.3", None]], "ip string")
    bits = {"ip": (24, 48), "b": (13, 64), "c": (8, 16)}
    wide = given.select("ip", F.col("ip").alias("b"), F.col("ip").alias("c"))
    got = mask(wide, Policy({name: IpPrefix(four, six) for name, (four, six) in bits.items()})).collect()
    for name, (four, six) in bits.items():
        expected = [str(ipaddress.ip_network(f"{text}/{four}", strict=False)) for text in v4]
        expected += [str(ipaddress.ip_network(f"{text}/{six}", strict=False)) for text in v6]
        ten = str(ipaddress.ip_network(f"10.1.2.3/{four}", strict=False))
        assert [row[name] for row in got] == [*expected, *[None] * len(no), ten, ten, None]


def by_class(text):
    hidden = {"Lu": "X", "Nd": "0"}
    return "".join(c if c in string.punctuation + " " else hidden.get(unicodedata.category(c), "x") for c in text)


def test_parts_of_a_text_are_shown_and_a_short_text_shows_nothing(spark):
    texts = ["4111-1111-1111-1234", "1234", "12345", "", "Zoë O'Brien\n", "Ärger 中文 😀٣", "`^~_[x]{}|"]
    actions = {
        "a": Partial(last=4),
        "b": Partial(1, 1),
        "c": Partial(by_class=True),
        "d": Partial(2, 2, by_class=True),
        "e": Partial(),
        "f": Partial(first=4),
    }
    given = spark.createDataFrame([(text,) * len(actions) for text in [*texts, None]], list(actions))

    def shown(text, action):
        hide = by_class if action.by_class else lambda part: "*" * len(part)
        if len(text) <= action.first + action.last:
            return hide(text)
        end = len(text) - action.last
        return text[: action.first] + hide(text[action.first : end]) + text[end:]

    got = [tuple(row) for row in mask(given, Policy(actions)).collect()]
    assert got == [*(tuple(shown(text, action) for action in actions.values()) for text in texts), (None,) * len(actions)]


NESTED = (
    "id bigint, person struct<name:string,`e-mail`:string,born:date>, phones array<string>, "
    "cards array<struct<number:string,limit:int>>, labels map<string,string>, tree array<array<map<string,string>>>, "
    "note string"
)


def test_parts_of_structs_arrays_and_maps_are_masked_in_place(spark, key):
    person = {"name": "Ada", "e-mail": "ada@example.org", "born": date(1815, 12, 10)}
    given = rows(
        spark,
        NESTED,
        [
            (
                1,
                person,
                ["1234567", None],
                [{"number": "4111", "limit": 5}, None],
                {"a": "x", "b": None},
                [[{"k": "v"}], None],
                "n",
            ),
            (2, None, None, None, None, None, None),
            (3, dict.fromkeys(person), [], [], {}, [], ""),
        ],
    )
    policy = Policy(
        {
            "id": Keep(),
            "person.name": Redact("someone"),
            "person.`e-mail`": Token(),
            "person.born": Drop(),
            "phones[]": Partial(last=2),
            "cards[].number": Drop(),
            "cards[].limit": Keep(),
            "labels{}.key": Token(length=20),
            "labels{}.value": Keep(),
            "tree[][]{}.key": Keep(),
            "tree[][]{}.value": Redact("-"),
            "note": Redact(),
        }
    )
    masked = mask(given, policy, key=key)
    assert [field.simpleString() for field in masked.schema] == [
        "id:bigint",
        "person:struct<name:string,e-mail:string>",
        "phones:array<string>",
        "cards:array<struct<limit:int>>",
        "labels:map<string,string>",
        "tree:array<array<map<string,string>>>",
        "note:string",
    ]
    a, b = (f"k1.{token(key, name)[:20]}" for name in "ab")
    first, second, third = masked.orderBy("id").collect()
    assert first.asDict(recursive=True) == {
        "id": 1,
        "person": {"name": "someone", "e-mail": f"k1.{token(key, 'ada@example.org')}"},
        "phones": ["*****67", None],
        "cards": [{"limit": 5}, None],
        "labels": {a: "x", b: None},
        "tree": [[{"k": "-"}], None],
        "note": None,
    }
    assert tuple(second) == (2, *[None] * 6)
    assert tuple(third) == (3, (None, None), [], [], {}, [], None)


def test_tags_of_the_data_and_of_a_contract_choose_the_action_and_a_path_wins(spark, key):
    pii, comment = {"tags": ["pii"], "comment": "of the buyer"}, {"comment": "of the buyer"}
    inner = StructType([StructField("street", StringType()), StructField("country", StringType(), True, {"tags": ["open"]})])
    struct = StructType(
        [
            StructField("id", IntegerType(), True, {"comment": "number"}),
            StructField("email", StringType(), True, pii),
            StructField("login", StringType(), True, pii),
            StructField("home", ArrayType(inner), True, pii),
            StructField("extra", MapType(StringType(), StringType()), True, {"tags": ["secret"]}),
        ]
    )
    given = spark.createDataFrame([(1, "a@b.c", "a", [("Road", "FR")], {"k": "v"})], struct)
    policy = Policy({"id": Keep(), "login": Keep()}, {"pii": Token(), "open": Keep(), "secret": Drop()})
    masked = mask(given, policy, key=key)
    assert tuple(masked.first()) == (1, f"k1.{token(key, 'a@b.c')}", "a", [(f"k1.{token(key, 'Road')}", "FR")])
    assert [field.metadata for field in masked.schema] == [{"comment": "number"}, comment, pii, comment]

    untagged = spark.createDataFrame(given.rdd, StructType([StructField(f.name, f.dataType) for f in struct]))
    with pytest.raises(PolicyMismatchError, match="the tag pii names no column"):
        mask(untagged, policy, key=key)
    assert mask(untagged, policy, key=key, declared=struct).collect() == masked.collect()


@pytest.mark.parametrize("tags", [["pii"], ["PII"], "pii", "Pii, gdpr"])
def test_tags_are_understood_in_any_case_and_a_declared_schema_takes_none_away(spark, key, tags):
    inner = StructType([StructField("street", StringType(), True, {"tags": tags})])
    struct = StructType([StructField("email", StringType(), True, {"tags": tags}), StructField("home", ArrayType(inner))])
    given = spark.createDataFrame([("a@b.c", [("Road",)])], struct)
    open_ = StructType(
        [
            StructField("EMAIL", StringType(), True, {"tags": ["open"]}),
            StructField("home", ArrayType(StructType([StructField("street", StringType())])), True, {"tags": ["Open"]}),
        ]
    )
    masked = mask(given, Policy(tags={"PII": Token()}), key=key)
    assert tuple(masked.first()) == (f"k1.{token(key, 'a@b.c')}", [(f"k1.{token(key, 'Road')}",)])
    assert mask(given, Policy(tags={"pii": Token()}), key=key, declared=StructType([])).first() == masked.first()
    untagged = spark.createDataFrame(given.collect(), "EMAIL string, home array<struct<street:string>>")
    assert mask(untagged, Policy(tags={"pii": Token()}), key=key, declared=struct).first() == masked.first()
    with pytest.raises(PolicyMismatchError, match="its tags pii and open say different things; name it by its path"):
        mask(given.select("email"), Policy(tags={"pii": Token(), "open": Keep()}), key=key, declared=open_)
    with pytest.raises(InvalidPolicyError, match="the tag pii is there twice"):
        Policy(tags={"pii": Token(), "PII": Keep()})


def test_a_column_that_is_not_named_stops_or_is_dropped_and_every_problem_is_told(spark, key):
    given = spark.createDataFrame([], NESTED)
    wrong = Policy(
        {
            "idd": Keep(),
            "person": Keep(),
            "phones": Drop(),
            "phones[]": Keep(),
            "labels{}.key": Redact(),
            "labels{}.value": Band(1),
            "cards[].limit": Redact("0"),
            "note": Encrypt(),
        },
        name="crm.people",
    )
    with pytest.raises(PolicyMismatchError) as error:
        mask(given, wrong, key=key)
    said = str(error.value)
    for problem in (
        "crm.people: the policy does not fit",
        "the entry idd names no column: did you mean id?",
        "person (struct<name:string,e-mail:string,born:date>): it has parts, each of which is named by itself: person.name",
        "person.`e-mail` (string): the policy does not name it",
        "the entry phones[] names no column: what it is a part of is dropped",
        "labels{}.key (string): the keys of a map stay different",
        "labels{}.value (string): it is for numbers",
        "cards[].limit (int): int is not replaced",
        "cards[].number (string): the policy does not name it",
        "tree[][]{}.key (string): the policy does not name it",
    ):
        assert problem in said, said
    few = Policy({"id": Keep(), "person.name": Keep(), "cards[].limit": Keep(), "labels{}.key": Keep()}, unlisted="drop")
    assert [field.simpleString() for field in mask(given, few).schema] == [
        "id:bigint",
        "person:struct<name:string>",
        "cards:array<struct<limit:int>>",
    ]
    with pytest.raises(PolicyMismatchError, match="no column would be left"):
        mask(given, Policy(unlisted="drop"))
    with pytest.raises(PolicyMismatchError, match="the column note is there twice"):
        mask(given.select("note", F.col("note").alias("NOTE")), Policy({"note": Keep(), "NOTE": Keep()}))
    for kind, why in (("double", "cast them to a decimal"), ("boolean", "not for boolean"), ("decimal(38,10)", "at most 6")):
        with pytest.raises(PolicyMismatchError, match=why):
            mask(spark.createDataFrame([], f"a {kind}"), Policy({"a": Token()}), key=key)


def test_what_protects_nothing_is_refused(spark):
    given = spark.createDataFrame([("a",)], "a string")
    for document, why in (
        ({"columns": {"a": "sha256"}}, "columns.a: an unkeyed hash protects nothing"),
        ({"columns": {"a": {"action": "SHA-2"}}}, "unkeyed hash"),
        ({"columns": {"a": "tokn"}}, "columns.a: there is no action 'tokn'; did you mean token"),
        ({"columns": {"a": {"action": "token", "length": 8}}}, "columns.a: token: length is 8; in hex it is 16 to 64"),
        ({"columns": {"a": {"action": "token", "lenght": 8}}}, "token has no 'lenght'"),
        ({"columns": {"a": {"action": "band"}}}, "columns.a: band: an attribute is missing"),
        ({"columns": {"a": {"action": "band", "width": "wide"}}}, "columns.a: band: an attribute is missing or of another"),
        ({"columns": {"a": {"action": "token", "normalise": ["nfkc"]}}}, "'nfkc'; there are trim, lower, nfc"),
        ({"columns": {"a": {"last": 4}}}, "columns.a: an action is its name"),
        ({"columns": ["a"]}, "columns: a mapping"),
        ({"collumns": {}}, "no 'collumns'"),
        ({"unlisted": "keep"}, "unlisted is 'keep'"),
        ([], "a policy is a mapping"),
    ):
        with pytest.raises(InvalidPolicyError, match=re.escape(why)):
            Policy.from_document(document)
    with pytest.raises(InvalidPolicyError, match="str is no action"):
        Policy({"a": "keep"})
    with pytest.raises(InvalidKeyError, match="need a key; an unkeyed hash protects nothing"):
        mask(given, Policy({"a": Token()}))
    for make in (
        lambda: Key("k", b"x" * 31),
        lambda: Key("a.b", b"x" * 32),
        lambda: Key.from_base64("k", "c2VjcmV0"),
        lambda: Key.from_base64("k", "correct horse battery staple"),
    ):
        with pytest.raises(InvalidKeyError) as error:
            make()
        assert "c2VjcmV0" not in str(error.value) and "horse" not in str(error.value)
    key = Key.from_base64("k", base64.b64encode(b"x" * 32).decode() + "\n")
    assert key == Key("k", b"x" * 32) and "x" not in repr(key)
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="stays in the process"):
            attempt(key)


def test_encrypted_values_come_back_and_only_deterministic_ones_can_be_compared(spark, key):
    types = {"text": "string", "n": "int", "x": "decimal(9,4)", "day": "date", "at": "timestamp"}
    values = [
        ("Löwe " * 40, -5, Decimal("1.5000"), date(1815, 12, 10), datetime(2024, 2, 29, 12, 0, 0, 1)),
        ("", 0, Decimal("0.0001"), date(2024, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999999)),
        (None,) * 5,
    ]
    given = spark.createDataFrame(values, ", ".join(f"{name} {kind}" for name, kind in types.items()))
    later = Key("k2", bytes(range(32)))
    for action in (Encrypt(), Encrypt(deterministic=True)):
        policy = Policy(dict.fromkeys(types, action))
        old, new, again = mask(given, policy, key=key), mask(given, policy, key=later), mask(given, policy, key=later)
        assert [field.dataType for field in old.schema] == [StringType()] * 5
        assert_same_rows(decrypt(old.unionAll(new), types, [later, key]), [*values, *values])
        same = new.collect() == again.collect()
        assert same == action.deterministic
        assert all(
            "\r" not in row["text"] and row["text"].startswith("k2.") for row in new.where("text IS NOT NULL").collect()
        )

    sealed = new.select("text").limit(1)
    ciphertext = sealed.first()["text"]
    changed = ciphertext[:9] + ("A" if ciphertext[9] != "A" else "B") + ciphertext[10:]
    for found, keys, kind in (
        (ciphertext, [key], "string"),
        (ciphertext, [], "string"),
        (ciphertext, [Key("k2", key.secret)], "string"),
        (changed, [later], "string"),
        ("Löwe", [later], "string"),
        (ciphertext, [later], "int"),
    ):
        with pytest.raises(Exception, match="text: a value") as error:
            decrypt(spark.createDataFrame([(found,)], "text string"), {"text": kind}, keys).collect()
        assert "Löwe" not in str(error.value)
    with pytest.raises(PolicyMismatchError, match="no column txt"):
        decrypt(sealed, {"txt": "string"}, [key])


def test_tokens_join_where_the_values_do(spark, key):
    chance = random.Random(3)
    texts = ["a", "A ", "ä", "ß", "", "0", "00", " ", "a\u0000", "İ", None]
    left = spark.createDataFrame([(n, chance.choice(texts)) for n in range(40)], "l int, v string")
    right = spark.createDataFrame([(n, chance.choice(texts)) for n in range(40)], "r int, v string")
    plain = left.join(right, "v").select("l", "r")

    def masked(table, side):
        return mask(table, Policy({side: Keep(), "v": Token(length=22, alphabet="base64url")}), key=key)

    joined = masked(left, "l").join(masked(right, "r"), "v").select("l", "r")
    assert_same_rows(joined, plain)
    assert plain.count() > 40


def test_while_a_key_is_exchanged_old_and_new_tokens_join(spark, key):
    given = spark.createDataFrame(
        [
            (1, "a", [["x", None], None, []], {"k": ("s", 5)}),
            (2, "a", None, None),
            (3, "b", [["y", "x"]], {"k": (None, 6), "l": None}),
            (4, None, [], {}),
        ],
        "id int, email string, nested array<array<string>>, labels map<string,struct<name:string,n:int>>",
    )
    policy = Policy(
        {
            "id": Keep(),
            "email": Token(normalise="lower"),
            "nested[][]": Token(length=16, domain="d"),
            "labels{}.key": Token(),
            "labels{}.value.name": Redact(),
            "labels{}.value.n": Token(),
        }
    )
    new = Key("k2", bytes(range(50)))
    pairs = rotation(given, policy, old=key, new=new)
    expected = [("email", text, "", 64) for text in "ab"] + [("nested[][]", text, "d", 16) for text in "xy"]
    expected += [("labels{}.key", text, "", 64) for text in "kl"] + [("labels{}.value.n", text, "", 64) for text in "56"]
    both = [
        (path, *(f"{each.id}.{token(each, text, domain=domain)[:length]}" for each in (key, new)))
        for path, text, domain, length in expected
    ]
    assert_same_rows(pairs, both)

    before, after = mask(given, policy, key=key), mask(given, policy, key=new)
    window = before.select("email").join(pairs.where("column = 'email'"), F.col("email") == F.col("old")).select("new")
    assert window.join(after, F.col("new") == F.col("email")).count() == 5
    assert rotation(given.select("id"), Policy({"id": Keep()}), old=key, new=new).collect() == []
    with pytest.raises(InvalidKeyError, match="both keys have this id"):
        rotation(given, policy, old=key, new=key)


POINTS = [*range(0xD800), *range(0xE000, 0x110000)]
LETTERS = [chr(point) for point in POINTS if unicodedata.category(chr(point)) != "Cn"]
DECOMPOSED = [letter for letter in LETTERS if unicodedata.decomposition(letter)[:1] not in ("", "<")]
SYLLABLES = st.one_of(st.characters(min_codepoint=first, max_codepoint=last) for first, last in (
    (0x1100, 0x1112), (0x1161, 0x1175), (0x11A7, 0x11C2), (0xAC00, 0xD7A3)
))  # fmt: skip
MARKED = st.one_of(
    st.sampled_from([letter for letter in LETTERS if unicodedata.combining(letter)]),
    st.sampled_from(DECOMPOSED),
    st.sampled_from("aeIoK \n\ufeff\U0001f600\u0130\u0915\u093c"),
    SYLLABLES,
    st.sampled_from(LETTERS),
)


def normal(spark, texts):
    frame = spark.createDataFrame(list(enumerate(texts)), "id int, text string")
    tables = unicode_tables(spark, "tables").withColumnRenamed("tables", "t")
    found = frame.crossJoin(F.broadcast(tables)).select("id", nfc(F.col("text"), F.col("t")).alias("text")).collect()
    return [row.text for row in sorted(found)]


def test_every_letter_that_has_parts_is_composed_as_unicodedata_does(spark):
    texts = [text for letter in DECOMPOSED for text in (letter, unicodedata.normalize("NFD", letter))]
    texts = ["".join(texts[place : place + 6]) for place in range(0, len(texts), 6)]
    assert normal(spark, texts) == [unicodedata.normalize("NFC", text) for text in texts]


@settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.text(MARKED, min_size=2, max_size=9), min_size=150, max_size=150))
def test_any_text_has_the_normal_form_that_unicodedata_gives_it(spark, texts):
    assert normal(spark, texts) == [unicodedata.normalize("NFC", text) for text in texts]


def test_what_is_left_alone_without_the_tables_has_nothing_to_change():
    class_ = re.sub(r"\\x\{(\w+)\}", lambda found: f"\\U{int(found[1], 16):08x}", unicode_data()[1])
    may_change = re.compile(f"[{class_}]").search

    def changes(letter):
        return unicodedata.normalize("NFC", letter) != letter or unicodedata.combining(letter)

    for letter in (letter for letter in LETTERS if not may_change(letter)):
        assert not changes(letter)
        assert letter == "\u0130" or not any(map(changes, letter.lower()))
    # What is the second of a pair that is composed. (Of Hangul the middle and last ones.)
    for letter in [*DECOMPOSED, "\uac00", "\uac01"]:
        parts = unicodedata.normalize("NFD", letter)
        assert unicodedata.normalize("NFC", letter) != letter or any(map(may_change, parts[1:]))


def test_a_token_does_not_tell_how_a_text_was_composed(spark, key):
    texts = ["Zo\u00eb", "Zoe\u0308", "zo\u00eb ", "J\u030c", "\u01f0", "\u0130", "I\u0307", "\uac00", "\u1100\u1161", None]
    texts.append("Ada")
    given = rows(
        spark,
        "id int, text string, inner struct<all:array<string>>, plain string",
        [(n, text, {"all": [text, "a"]}, "a") for n, text in enumerate(texts)],
    )
    folded = Token(normalise=("trim", "lower", "nfc"))
    policy = Policy({"id": Keep(), "text": folded, "inner.all[]": Token(normalise="nfc"), "plain": Token()})
    masked = mask(given, policy, key=key)
    found = masked.orderBy("id").collect()
    expected = [text and unicodedata.normalize("NFC", text.strip().lower()) for text in texts]
    for row, text, folded_text in zip(found, texts, expected, strict=True):
        assert row.text == (folded_text and python_token(folded_text, key))
        assert row.inner["all"] == [text and python_token(unicodedata.normalize("NFC", text), key), python_token("a", key)]
        assert row.plain == python_token("a", key)
    assert len({row.text for row in found}) == 6
    # The tables are not in the plan, and are not carried by rows that need none.
    assert len(masked._jdf.queryExecution().toString()) < 150_000
    pairs = rotation(given, policy, old=key, new=Key("k2", bytes(33)))
    assert {row.new for row in pairs.where("column = 'text'").collect()} == {
        python_token(text, Key("k2", bytes(33))) for text in expected if text
    }


def python_token(text, key):
    return f"{key.id}.{hmac.new(key.secret, text.encode(), hashlib.sha256).hexdigest()}"


def test_no_rows_and_columns_named_like_the_key_are_fine(spark, key):
    given = spark.createDataFrame([], "_key0 string, __KEY string, `a.b` string, `c``d` string")
    policy = Policy({"_key0": Token(), "__KEY": Keep(), "`a.b`": Encrypt(), "`c``d`": Token()})
    masked = mask(given, policy, key=key)
    assert masked.columns == ["_key0", "__KEY", "a.b", "c`d"] and masked.collect() == []
    sealed = mask(given, Policy(dict.fromkeys(policy.columns, Encrypt())), key=key)
    assert decrypt(sealed, {"a.b": "string", "c`d": "int"}, [key]).collect() == []


def test_dates_of_a_person_are_shifted_by_the_same_days_and_keep_what_lies_between(spark, key):
    days = [date(2024, 2, 28), date(2024, 3, 1), date(1900, 1, 1), date(2024, 12, 31)]
    data = [(person, day, datetime(day.year, day.month, day.day, 12), [day]) for person in range(300) for day in days]
    struct = "struct<id:bigint>"
    given = spark.createDataFrame(data, "id int, day date, at timestamp_ntz, days array<date>").select(
        F.struct(F.col("id").cast("bigint").alias("id")).cast(struct).alias("person"), "day", "at", "days"
    )
    shift = ShiftDate("person.id", days=30)
    policy = Policy({"person.id": Keep(), "day": shift, "at": shift, "days[]": shift})
    shifts = {}
    for before, row in zip(given.collect(), mask(given, policy, key=key).collect(), strict=True):
        person = before["person"]["id"]
        moved = {row["day"] - before["day"], row["at"] - before["at"], row["days"][0] - before["days"][0]}
        shifts.setdefault(person, set()).update(moved)
    assert all(len(moved) == 1 for moved in shifts.values()), "one shift for all dates of a person"

    def by_python(person):
        digest = hmac.digest(derived(key.secret, "shift"), str(person).encode(), "sha256").hex()
        number = int(digest[:15], 16) % 60
        return number - 30 if number < 30 else number - 29

    found = {person: {each.days for each in moved} for person, moved in shifts.items()}
    assert found == {person: {by_python(person)} for person in range(300)}
    assert set().union(*found.values()) <= {*range(-30, 31)} - {0}


def test_a_date_without_a_person_becomes_null_and_what_cannot_shift_is_refused(spark, key):
    given = spark.createDataFrame([(None, date(2024, 1, 1)), ("a", None)], "id string, day date")
    masked = mask(given, Policy({"id": Keep(), "day": ShiftDate("id")}), key=key)
    assert [row["day"] for row in masked.collect()] == [None, None]
    for action, told in [
        (ShiftDate("idd"), "shifted by idd, which is no column: did you mean id"),
        (ShiftDate("ids[]"), "must be a text, number or date outside arrays and maps"),
    ]:
        wide = given.withColumn("ids", F.array("id"))
        with pytest.raises(PolicyMismatchError, match=re.escape(told)):
            mask(wide, Policy({"id": Keep(), "ids[]": Keep(), "day": action}), key=key)
    with pytest.raises(PolicyMismatchError, match="it is for dates and timestamps, not for string"):
        mask(given, Policy({"id": ShiftDate("day"), "day": Keep()}), key=key)
    with pytest.raises(InvalidPolicyError, match="days is 0"):
        ShiftDate("id", days=0)
