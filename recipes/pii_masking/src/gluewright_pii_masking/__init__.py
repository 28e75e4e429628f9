# gluewright-pii-masking 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Mask personal data by a closed policy, with keys that show nowhere.

Example:
    >>> from gluewright_pii_masking import Keep, Key, Policy, Token, mask
    >>> policy = Policy({"id": Keep(), "email": Token()})  # doctest: +SKIP
    >>> masked = mask(rows, policy, key=Key.from_base64("2026a", text))  # doctest: +SKIP
"""

from .detect import DETECTORS, UnknownDetectorError, found, hidden
from .leaks import InvalidLeakCheckError, leaks
from .masking import (
    Action,
    Band,
    Change,
    Drop,
    Encrypt,
    EncryptDigits,
    Grid,
    InvalidKeyError,
    InvalidPolicyError,
    IpPrefix,
    Keep,
    Key,
    MaskingError,
    Partial,
    Policy,
    PolicyMismatchError,
    Redact,
    ShiftDate,
    Token,
    TruncateDate,
    VaultToken,
    decrypt,
    decrypt_digits,
    hidden_columns,
    mask,
    rekeyed,
    rotation,
    vault_columns,
    vault_entries,
)
from .risk import InvalidReportError, reidentification
from .vault import VaultMismatchError, exchanged, issued, sealed

__version__ = "0.1.0"
__all__ = [
    "DETECTORS",
    "Action",
    "Band",
    "Change",
    "Drop",
    "Encrypt",
    "EncryptDigits",
    "Grid",
    "InvalidKeyError",
    "InvalidLeakCheckError",
    "InvalidPolicyError",
    "InvalidReportError",
    "IpPrefix",
    "Keep",
    "Key",
    "MaskingError",
    "Partial",
    "Policy",
    "PolicyMismatchError",
    "Redact",
    "ShiftDate",
    "Token",
    "TruncateDate",
    "UnknownDetectorError",
    "VaultMismatchError",
    "VaultToken",
    "decrypt",
    "decrypt_digits",
    "exchanged",
    "found",
    "hidden",
    "hidden_columns",
    "issued",
    "leaks",
    "mask",
    "reidentification",
    "rekeyed",
    "rotation",
    "sealed",
    "vault_columns",
    "vault_entries",
]
