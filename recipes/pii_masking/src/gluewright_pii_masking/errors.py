# gluewright-pii-masking 0.1.0 errors.py
# SPDX-License-Identifier: Apache-2.0
"""What masking may raise: one tree."""

from __future__ import annotations


class MaskingError(Exception):
    """The base of this file's errors. No message has a value of the data or a part of a key in it."""


class InvalidPolicyError(MaskingError):
    """A policy contradicts itself, or asks for what does not protect anything."""


class PolicyMismatchError(MaskingError):
    """A policy does not fit the rows: a column is not named, an entry names nothing, or an action is not for that type."""


class InvalidKeyError(MaskingError):
    """A key is missing, too short, or not written as base64."""
