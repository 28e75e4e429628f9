"""Rows as wide as those of a table in a database: an order, about 110 bytes of it in compressed Parquet."""

from __future__ import annotations

COLUMNS = {
    "customer": "concat('customer-', CAST({key} * 7919 % 100000 AS STRING))",
    "name": "substr(md5(CAST({key} % 5000 AS STRING)), 1, 8) || ' ' || substr(md5(CAST({key} % 9001 AS STRING)), 1, 12)",
    "street": "concat(substr(md5(CAST({key} AS STRING)), 1, 14), ' ', CAST({key} % 180 AS STRING))",
    "city": "substr(md5(CAST({key} % 12007 AS STRING)), 1, 10)",
    "postcode": "lpad(CAST({key} * 104729 % 100000 AS STRING), 5, '0')",
    "country": "element_at(array('DE', 'FR', 'US', 'JP'), CAST({key} % 4 + 1 AS INT))",
    "status": "element_at(array('new', 'paid', 'packed', 'sent', 'back'), CAST({key} * 31 % 5 + 1 AS INT))",
    "lines": "CAST({key} % 12 + 1 AS INT)",
    "quantity": "CAST({key} * 7919 % 500 AS INT)",
    "price": "CAST({key} * 37 % 1000000 / 100 AS DECIMAL(10, 2))",
    "tax": "CAST({key} * 41 % 1000000 / 10000 AS DECIMAL(10, 4))",
    "amount": "CAST({key} * 31 % 100000 AS DOUBLE) / 100",
    "weight": "{key} * 0.37D + 0.5D",
    "ordered": "date_add(DATE'2026-01-01', CAST({key} % 365 AS INT))",
    "due": "date_add(DATE'2026-02-01', CAST({key} % 390 AS INT))",
    "created": "timestamp_seconds(1767225600 + {key} * 17 % 31536000)",
    "note": "if({key} % 4 = 0, NULL, concat('note of order ', md5(CAST({key} AS STRING))))",
}


def columns(key: str) -> list[str]:
    """Make the columns from a key, as SQL; the same key gives the same order."""
    return [f"{sql.format(key=key)} AS {name}" for name, sql in COLUMNS.items()]
