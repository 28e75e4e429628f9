"""Keep the newest row of every key."""

from gluewright_{{recipe}}.{{heart}} import newest_per_key

__version__ = "0.1.0"

__all__ = ["newest_per_key"]
