# gluewright-pii-masking 0.1.0 actions/__init__.py
# SPDX-License-Identifier: Apache-2.0
"""What can become of a value."""

from .base import Action, Drop, Keep
from .encryption import Encrypt, EncryptDigits
from .numbers import Band, Grid, ShiftDate, TruncateDate
from .texts import Change, IpPrefix, Partial, Redact
from .tokens import Token, VaultToken

__all__ = [
    "Action",
    "Band",
    "Change",
    "Drop",
    "Encrypt",
    "EncryptDigits",
    "Grid",
    "IpPrefix",
    "Keep",
    "Partial",
    "Redact",
    "ShiftDate",
    "Token",
    "TruncateDate",
    "VaultToken",
]
