# {{distribution}} 0.1.0 __init__.py
# SPDX-License-Identifier: Apache-2.0
"""Keep the newest row of every key.

Example:
    >>> from gluewright_{{recipe}} import newest_per_key
    >>> newest = newest_per_key(orders, key=["order_id"], newest_by=["updated_at"])  # doctest: +SKIP
"""

from .{{idea}} import newest_per_key

__version__ = "0.1.0"

__all__ = ["newest_per_key"]
