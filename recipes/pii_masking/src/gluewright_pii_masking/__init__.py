# gluewright-pii-masking 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Mask personal data by a closed policy, with keys that show nowhere.

Example:
    >>> from gluewright_pii_masking import Keep, Key, Policy, Token, mask
    >>> policy = Policy({"id": Keep(), "email": Token()})  # doctest: +SKIP
    >>> masked = mask(rows, policy, key=Key.from_base64("2026a", text))  # doctest: +SKIP
"""

from .actions import (
    Action,
    Band,
    Change,
    Drop,
    Encrypt,
    EncryptDigits,
    Grid,
    IpPrefix,
    Keep,
    Partial,
    Redact,
    ShiftDate,
    Token,
    TruncateDate,
    VaultToken,
)
from .decryption import decrypt, decrypt_digits
from .detect import DETECTORS, UnknownDetectorError, found, hidden
from .errors import InvalidKeyError, InvalidPolicyError, MaskingError, PolicyMismatchError
from .keys import Key
from .leaks import InvalidLeakCheckError, leaks
from .masking import hidden_columns, mask
from .policy import Policy
from .risk import InvalidReportError, reidentification
from .rotation import rotation
from .vault import VaultMismatchError, exchanged, issued, sealed
from .vault_entries import rekeyed, vault_columns, vault_entries

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
